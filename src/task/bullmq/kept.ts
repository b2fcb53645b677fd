import type { Redis } from 'ioredis'
import type { InMilliseconds } from '../../duration.ts'
import { errors } from '../../errors.ts'
import type { NewTask, Retention, TaskRecord } from '../types.ts'
import type { Keep } from './keep.ts'
import type { JobData, KeepWishes, TaskJob } from './record.ts'

// Of a task: its record, and the print of its input. Of a resource: which of its tasks are there, those with a key not counted.
const STORE = `
local kept, index = KEYS[1], KEYS[2]
local id, record, print, life, age, count = unpack(ARGV)
redis.call('HSET', kept, 'record', record, 'print', print)
redis.call('PEXPIRE', kept, life)
if count == '' then return end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', index, '-inf', now - age)
redis.call('ZADD', index, now, id)
redis.call('PEXPIRE', index, age)
local excess = redis.call('ZCARD', index) - count
if excess <= 0 then return end
local old = redis.call('ZPOPMIN', index, excess)
local prefix = string.sub(kept, 1, #kept - #id)
for i = 1, #old, 2 do redis.call('DEL', prefix .. old[i]) end
`

type End = Pick<TaskRecord, 'state' | 'result' | 'failure'>

/**
 * Tasks that have ended and are kept otherwise than BullMQ keeps all of a queue, which is so many, whichever they are: those
 * with a key as long as that holds, and those of resources that say how they are kept.
 */
export class KeptTasks {
  readonly #client: Redis
  readonly #prefix: string
  readonly #keep: Keep

  constructor(client: Redis, prefix: string, keep: Keep) {
    this.#client = client
    this.#prefix = prefix
    this.#keep = keep
  }

  async find(id: string): Promise<TaskRecord | undefined> {
    const record = await this.#client.hget(this.key(id), 'record')
    return record === null ? undefined : JSON.parse(record)
  }

  async remove(id: string): Promise<boolean> {
    return (await this.#client.del(this.key(id))) === 1
  }

  /** No queue is called so. */
  key(id: string): string {
    return `${this.#prefix}:kept_of:${id}`
  }

  /**
   * Whether there is a task under the id of `task`, in whatever state.
   *
   * @throws {PlinthError} TASK_KEY_REUSED where its input is another one
   */
  async isThere({ id, queue, data, options }: NewTask): Promise<boolean> {
    const [known, kept] = await Promise.all([
      this.#client.hget(`${this.#prefix}:${queue}:${id}`, 'data'),
      this.#client.hget(this.key(id), 'print'),
    ])
    if (known === null && kept === null) return false
    const print = known === null ? kept : (JSON.parse(known) as JobData).wishes?.print
    if (print && print !== options.print) throw errors.TASK_KEY_REUSED(data.resource, id)
    return true
  }

  /**
   * Keeps what a task has come to, as it wishes, before BullMQ is told: no end is without it. What is to be kept shorter than
   * BullMQ would is kept here alone.
   */
  async store(job: TaskJob, record: TaskRecord, { state, result, failure }: End): Promise<void> {
    const kind = state === 'succeeded' ? 'succeeded' : 'failed'
    const { keyFor = 0, print = '', [kind]: wish } = job.data.wishes ?? {}
    if (!wish && keyFor === 0) return
    const usual = { age: this.#keep[kind].age * 1000, count: this.#keep[kind].count }
    const wanted: InMilliseconds<Retention> = { ...usual, ...wish }
    const life = Math.max(wish ? wanted.age : 0, keyFor)
    const isShorter = wanted.age < usual.age || wanted.count < usual.count
    if (isShorter) Object.assign(job.opts, { removeOnComplete: true, removeOnFail: true })
    const finished_at = new Date().toISOString()
    const ended: TaskRecord = { ...record, state, result, failure, finished_at }
    await this.#client.eval(
      STORE,
      2,
      ...[this.key(record.id), `${this.#prefix}:kept_by:${kind}:${record.data.resource}`],
      ...[record.id, JSON.stringify(ended), print],
      ...[life, wanted.age, print === '' ? wanted.count : ''],
    )
  }
}

/** What a task wishes that is not so of every other one. */
export function wishesOf({ print, keyFor, keep }: NewTask['options']): KeepWishes | undefined {
  if (print === undefined && keep === undefined) return undefined
  return { ...keep, ...(print !== undefined && { print, ...(keyFor && { keyFor }) }) }
}
