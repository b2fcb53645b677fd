import { setTimeout as delay } from 'node:timers/promises'
/** @ts-ignore: there where it is installed */
import type { Command, Redis, RedisOptions } from 'ioredis'
import { DeadlineQueue, type Timed } from '../deadlines.ts'
import type { CacheCounts } from './types.ts'

/** What a call gives that Redis did not answer. */
export const AWAY: unique symbol = Symbol('away')

export interface Log {
  warn(fields: object, message: string): void
  info(fields: object, message: string): void
}

export interface LinkOptions {
  /** Who uses it, in what is logged: `cache`. */
  owner: string
  client: Redis
  /** ioredis' own: given, as what needs no Redis does without ioredis. */
  command: typeof Command
  /** Milliseconds that one call may take. */
  timeout: number
  counts: Pick<CacheCounts, 'errors'>
  log: Log
  /** What has to be done before Redis is used again; an error says that it is not there yet. */
  recover?: () => Promise<void>
  /** Told when it is no longer used, and when it is again. */
  onAway?: () => void
  onBack?: () => void
}

/** What Redis has not answered yet. */
interface Waiting extends Timed {
  isSettled: boolean
  reject(reason: Error): void
}

type Call<T> = (client: Redis) => Promise<T>

const PROBE = 100

/**
 * Calls of Redis that neither fail nor wait. After the first that did not come through none is tried, until
 * Redis answers a PING.
 */
export class RedisLink {
  readonly #options: LinkOptions
  readonly #waiting: DeadlineQueue<Waiting>
  readonly #createGet: (name: string) => Command & Waiting
  /** What is sent together when this turn of the event loop ends. */
  #gathered: Waiting[] = []
  #away = false
  #closed = false
  #refused = false

  constructor(options: LinkOptions) {
    this.#options = options
    const { client, command, timeout } = options
    const expire = (late: Waiting) => late.reject(new Error(`no answer within ${timeout} ms`))
    this.#waiting = new DeadlineQueue(timeout, expire)
    this.#createGet = createGets(command, client.options)
  }

  /** Whether Redis is not to be reached at the moment. */
  get away(): boolean {
    return this.#away
  }

  async run<T>(call: Call<T>): Promise<T | typeof AWAY> {
    return await this.attempt(call).catch(() => AWAY)
  }

  /** The bytes under `name`; null: there are none. */
  async get(name: string): Promise<Buffer | null | typeof AWAY> {
    if (this.#away || this.#closed) return AWAY
    const get = this.#createGet(name)
    try {
      this.#send(get)
      return (await this.#options.client.sendCommand(get)) as Buffer | null
    } catch (error) {
      // Something else than a text is no entry either.
      if ((error as Error).message.startsWith('WRONGTYPE')) return Buffer.alloc(0)
      this.#fail(error as Error)
      return AWAY
    } finally {
      this.#waiting.remove(get)
    }
  }

  /** @throws where Redis is away, refuses, or does not answer in time */
  async attempt<T>(call: Call<T>): Promise<T> {
    if (this.#away || this.#closed) throw new Error('it does not answer')
    try {
      return await this.bounded(call)
    } catch (error) {
      this.#fail(error as Error)
      throw error
    }
  }

  /** As `run` where something is stored: tells, too, when Redis takes it again. */
  async store<T>(call: Call<T>): Promise<T | typeof AWAY> {
    const answer = await this.run(call)
    if (answer !== AWAY && this.#refused) {
      this.#refused = false
      this.#options.log.info({}, `Redis does what the ${this.#options.owner} asks for again`)
      this.#options.recover?.().catch(() => {})
    }
    return answer
  }

  /** @throws why there is no answer; whether Redis is away makes no difference */
  async bounded<T>(call: Call<T>): Promise<T> {
    const { promise, reject } = Promise.withResolvers<never>()
    const waiting = { at: 0, earlier: undefined, later: undefined, isSettled: false, reject }
    this.#send(waiting)
    try {
      return await Promise.race([call(this.#options.client), promise])
    } finally {
      waiting.isSettled = true
      this.#waiting.remove(waiting)
    }
  }

  /**
   * Lets what is sent in one turn of the event loop leave with one write, which costs more than all the rest of a command.
   * The time for `waiting` begins then.
   *
   * @throws where there is no connection
   */
  #send(waiting: Waiting): void {
    const { status, stream } = this.#options.client
    // A client of an app may queue what it cannot send.
    if (status !== 'ready' && status !== 'wait') throw new Error('there is no connection')
    if (this.#gathered.push(waiting) > 1) return
    stream?.cork()
    setImmediate(() => {
      stream?.uncork()
      for (const one of this.#gathered) if (!one.isSettled) this.#waiting.add(one)
      this.#gathered = []
    })
  }

  close(): void {
    this.#closed = true
  }

  #fail(error: Error): void {
    this.#options.counts.errors++
    if (this.#closed) return
    if (error.name === 'ReplyError') this.#refuse(error)
    else if (!this.#away) void this.#probe(error)
  }

  // It answers, so it is there: full, loading or read-only. Reading goes on.
  #refuse(error: Error): void {
    if (this.#refused) return
    this.#refused = true
    const message = `Redis refuses what the ${this.#options.owner} asks for`
    this.#options.log.warn({ problem: error.message }, message)
  }

  async #probe(reason: Error): Promise<void> {
    this.#away = true
    const { log, owner } = this.#options
    this.#options.onAway?.()
    let told = false
    while (!this.#closed && !(await this.#answers())) {
      // Once it does not answer again: this process itself may have been what was slow.
      if (!told) log.warn({ problem: reason.message }, `The ${owner} goes on without Redis`)
      told = true
      await delay(PROBE, undefined, { ref: false })
    }
    if (this.#closed) return
    this.#away = false
    if (told) log.info({}, `The ${owner} uses Redis again`)
    this.#options.onBack?.()
  }

  async #answers(): Promise<boolean> {
    try {
      await this.bounded((client) => client.ping())
      await this.#options.recover?.()
      return true
    } catch {
      return false
    }
  }
}

/** Makes GET commands for bytes, whose time is counted here: ioredis would make a timer for each. */
function createGets(
  base: typeof Command,
  { keyPrefix }: Pick<RedisOptions, 'keyPrefix'>,
): (name: string) => Command & Waiting {
  class Get extends base implements Waiting {
    at = 0
    earlier: Timed | undefined
    later: Timed | undefined
    override setTimeout(): void {}
  }
  const options = { replyEncoding: null, ...(keyPrefix !== undefined && { keyPrefix }) }
  return (name) => new Get('get', [name], options)
}
