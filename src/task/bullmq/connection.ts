import type { Redis, RedisOptions } from 'ioredis'
import { RedisClient } from '../../config/redis-client.ts'
import { parseRedisUrl } from '../../config/redis-connection.ts'
import { errors } from '../../errors.ts'
import { processEnds } from '../errors.ts'
import { settles, TooLate, within } from '../within.ts'
import { type Outages, problemOf } from './outages.ts'

/** After so long without a word from Redis it cannot be used, in ms: at least. */
export const PATIENCE = 2000
// For workers, in ms: longer than one of their commands is blocked at most.
const SILENCE = 15_000

const COMMON = {
  // BullMQ reads answers in this form.
  replyMapping: 'legacy' as const,
  retryStrategy: (times: number) => Math.min(times * 50, 500),
  connectTimeout: PATIENCE,
}

/** `redis://…` as in REDIS_URL, or options of ioredis. */
export type Place = string | RedisOptions

function connect<T extends RedisClient>(
  place: Place,
  options: Omit<RedisOptions, 'replyMapping'>,
  Kind: new (options: RedisOptions) => T,
): T {
  const target = typeof place === 'string' ? parseRedisUrl(place) : place
  return new Kind({ ...target, ...COMMON, ...options })
}

const PATIENT = { maxRetriesPerRequest: null, socketTimeout: SILENCE }

/** For workers: commands wait for as long as Redis is away, then go on. */
export function connectPatiently(place: Place, outages: Outages): Model {
  return outages.watch(connect(place, PATIENT, Model))
}

/** What such connections are copied from by BullMQ; it never connects itself. */
export function patientModel(place: Place): Model {
  return connect(place, { ...PATIENT, lazyConnect: true }, Model)
}

/** A connection that BullMQ copies. It tells of a copy only when that stands, which is never where Redis is gone. */
export class Model extends RedisClient {
  #copy: Redis | undefined

  override duplicate(override?: Partial<RedisOptions>): Redis {
    const copy = super.duplicate(override)
    this.#copy = copy
    return copy
  }

  /** What `make` makes, and the copy that was made for it. */
  copyFor<T>(make: () => T): { made: T; copy: Redis } {
    const made = make()
    return { made, copy: this.#copy as Redis }
  }
}

/** For adding and looking up: what cannot be had soon fails. */
export class TaskConnection {
  readonly client: RedisClient
  readonly #patience: number
  #isClosed = false
  #open = Promise.withResolvers<void>()
  #isOpen = false
  /** To let what is under way fail. */
  readonly #underWay = new Set<(error: unknown) => void>()
  #since = performance.now()

  /** @param patience after so long without a word from Redis what is asked fails, in ms */
  constructor(place: Place, outages: Outages, patience: number) {
    this.#patience = patience
    this.client = outages.watch(
      connect(
        place,
        {
          connectTimeout: patience,
          // However long a command takes: Redis is there as long as it answers any of them.
          socketTimeout: patience,
          enableOfflineQueue: false,
          autoResendUnfulfilledCommands: false,
          maxRetriesPerRequest: 0,
        },
        RedisClient,
      ),
    )
    this.client.on('ready', () => {
      this.#isOpen = true
      this.#open.resolve()
    })
    this.client.on('close', () => this.#lost())
  }

  /**
   * Does `work` as soon as there is a connection: one that is away for longer than its patience is not waited for.
   *
   * @throws {PlinthError} TASKS_UNAVAILABLE
   */
  async use<T>(work: () => Promise<T>): Promise<T> {
    try {
      if (!this.#isOpen && !this.#isClosed) {
        const left = this.#since + this.#patience - performance.now()
        await within(left, this.#open.promise, 'Redis is not reachable')
      }
      if (this.#isClosed) throw processEnds()
      return await work()
    } catch (cause) {
      const problem = problemOf(cause)
      if (problem === undefined) throw cause
      throw errors.TASKS_UNAVAILABLE.with({ cause }, problem)
    }
  }

  /** Does `work`, which would wait for Redis longer than a command does, and fails as soon as the connection is lost. */
  whileOpen<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const fail = (error: unknown) => {
        this.#underWay.delete(fail)
        reject(error)
      }
      this.#underWay.add(fail)
      work().then((result) => {
        this.#underWay.delete(fail)
        resolve(result)
      }, fail)
    })
  }

  /** Nothing is done any more, not even by who waits for a connection. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#open.resolve()
    await disconnect(this.client)
  }

  #lost(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#since = performance.now()
    this.#open = Promise.withResolvers()
    for (const reject of this.#underWay) reject(new TooLate('the connection to Redis was lost'))
  }
}

/** Ends a connection: politely, if that takes no longer than a second. */
export async function disconnect(client: Redis): Promise<void> {
  if (client.status === 'ready') await settles(client.quit(), 1000)
  // Also where it was lost before it could be ended so: it would be made again.
  disconnectForGood(client)
}

/** Ends a connection that BullMQ might open again: it does so when it waits for one that does not answer. */
export function disconnectForGood(client: Redis): void {
  client.options.retryStrategy = null
  client.on('error', () => {})
  client.on('connect', () => client.disconnect())
  if (client.status !== 'end') client.disconnect()
}
