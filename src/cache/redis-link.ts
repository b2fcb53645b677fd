import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { DeadlineQueue, type Timed } from '../deadlines.ts'
import type { CacheCounts } from './types.ts'

/** What a call gives that Redis did not answer. */
export const AWAY: unique symbol = Symbol('away')

export interface Log {
  warn(fields: object, message: string): void
  info(fields: object, message: string): void
}

export interface LinkOptions {
  client: Redis
  /** Milliseconds that one call may take. */
  timeout: number
  counts: CacheCounts
  log: Log
  /** What has to be done before Redis is used again; an error says that it is not there yet. */
  recover: () => Promise<void>
  /** Told when it is no longer used, and when it is again. */
  onAway: () => void
  onBack: () => void
}

/** A call that Redis has not answered yet. */
interface Waiting extends Timed {
  readonly reject: (reason: Error) => void
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
  #away = false
  #closed = false
  #refused = false

  constructor(options: LinkOptions) {
    this.#options = options
    const { timeout } = options
    const late = ({ reject }: Waiting) => reject(new Error(`no answer within ${timeout} ms`))
    this.#waiting = new DeadlineQueue(timeout, late)
  }

  /** Whether Redis is not to be reached at the moment. */
  get away(): boolean {
    return this.#away
  }

  async run<T>(call: Call<T>): Promise<T | typeof AWAY> {
    return await this.attempt(call).catch(() => AWAY)
  }

  /** @throws where Redis is away, refuses, or does not answer in time */
  async attempt<T>(call: Call<T>): Promise<T> {
    if (this.#away || this.#closed) throw new Error('it does not answer')
    try {
      return await this.bounded(call)
    } catch (error) {
      this.#options.counts.errors++
      if (!this.#closed) this.#failed(error as Error)
      throw error
    }
  }

  /** As `run` where something is stored: tells, too, when Redis takes it again. */
  async store<T>(call: Call<T>): Promise<T | typeof AWAY> {
    const answer = await this.run(call)
    if (answer !== AWAY && this.#refused) {
      this.#refused = false
      this.#options.log.info({}, 'Redis does what the cache asks for again')
      this.#options.recover().catch(() => {})
    }
    return answer
  }

  /** @throws why there is no answer; whether Redis is away makes no difference */
  bounded<T>(call: Call<T>): Promise<T> {
    const { client } = this.#options
    // A client of an app may queue what it cannot send.
    if (client.status !== 'ready' && client.status !== 'wait') {
      return Promise.reject(new Error('there is no connection'))
    }
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { at: 0, earlier: undefined, later: undefined, reject }
      this.#waiting.add(waiting)
      call(client)
        .then(resolve, reject)
        .finally(() => this.#waiting.remove(waiting))
    })
  }

  close(): void {
    this.#closed = true
  }

  #failed(error: Error): void {
    if (error.name === 'ReplyError') this.#refuse(error)
    else if (!this.#away) void this.#probe(error)
  }

  // It answers, so it is there: full, loading or read-only. Reading goes on.
  #refuse(error: Error): void {
    if (this.#refused) return
    this.#refused = true
    this.#options.log.warn({ problem: error.message }, 'Redis refuses what the cache asks for')
  }

  async #probe(reason: Error): Promise<void> {
    this.#away = true
    this.#options.onAway()
    let told = false
    while (!this.#closed && !(await this.#answers())) {
      // Once it does not answer again: this process itself may have been what was slow.
      if (!told)
        this.#options.log.warn({ problem: reason.message }, 'The cache goes on without Redis')
      told = true
      await delay(PROBE, undefined, { ref: false })
    }
    if (this.#closed) return
    this.#away = false
    if (told) this.#options.log.info({}, 'The cache uses Redis again')
    this.#options.onBack()
  }

  async #answers(): Promise<boolean> {
    try {
      await this.bounded((client) => client.ping())
      await this.#options.recover()
      return true
    } catch {
      return false
    }
  }
}
