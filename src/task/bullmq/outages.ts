import type { Redis } from 'ioredis'
import type { TaskLog } from '../types.ts'
import { TooLate } from '../within.ts'

// What a loop meets again and again is not logged again for so long, in ms.
const QUIET = 10_000

/** Hears of every connection, and logs an outage of Redis once, and its end. */
export class Outages {
  readonly #log: TaskLog
  readonly #lost = new Set<Redis>()
  #lastError: unknown
  #quietUntil = Number.NEGATIVE_INFINITY
  #isOver = false

  constructor(log: TaskLog) {
    this.#log = log
  }

  watch<T extends Redis>(client: T): T {
    client.on('error', (error) => {
      this.#lastError = error
    })
    client.on('close', () => this.#begin(client))
    client.on('ready', () => this.#end(client))
    return client
  }

  /** Logs what BullMQ tells of its loops, which go on. */
  report(error: unknown): void {
    const now = performance.now()
    if (this.#isOver || isLost(error) || now < this.#quietUntil) return
    this.#quietUntil = now + QUIET
    this.#log.error({ err: error }, 'Something failed while tasks were taken from Redis')
  }

  /** Connections that end from now on do so because we close them. */
  over(): void {
    this.#isOver = true
  }

  #begin(client: Redis): void {
    if (this.#isOver || this.#lost.has(client)) return
    this.#lost.add(client)
    if (this.#lost.size > 1) return
    this.#log.warn({ err: this.#lastError }, 'Redis is away: tasks wait until it is back')
  }

  #end(client: Redis): void {
    this.#lastError = undefined
    if (!this.#lost.delete(client) || this.#lost.size > 0) return
    this.#log.info({}, 'Redis is back: tasks go on')
  }
}

/** Why `error` means that Redis cannot be used now, in words for clients; `undefined` when it means something else. */
export function problemOf(error: unknown): string | undefined {
  if (error instanceof TooLate) return error.message
  if (!(error instanceof Error)) return undefined
  // `OOM command not allowed …`, `LOADING Redis is loading …`, `READONLY You can't write …`
  if (error.name === 'ReplyError') return `Redis answers ${/^\w+/.exec(error.message)?.[0]}`
  return isLost(error) ? 'the connection to Redis was lost' : undefined
}

function isLost(error: unknown): boolean {
  return error instanceof Error && LOST.test(`${error.name} ${error.message}`)
}

const LOST =
  /Connection is closed|Socket timeout|enableOfflineQueue|MaxRetriesPerRequest|Command (?:timed out|aborted)|AbortError|\b(?:E[A-Z]{4,}|EPIPE)\b/
