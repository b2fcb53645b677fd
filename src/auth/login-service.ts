import { hash } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import { LRUCache } from 'lru-cache'
import type { Duration, InMilliseconds } from '../duration.ts'
import { errors } from '../errors.ts'
import { type Answer, downloadJson, withinRequest } from './download.ts'

const MAX_BYTES = 65_536
/** How many answers are kept. */
const KNOWN = 10_000
/** How many may be under way: cookies that are made up must not become as many connections. */
const MAX_CHECKS = 100

/** Milliseconds each, or texts like `'1m'`. */
export interface LoginLimits {
  /** How long the login service may take to answer; default 3000. */
  timeout: Duration
  /** How long somebody counts as logged in without asking again; default 60,000. */
  keep: Duration
  /** How long somebody counts as not logged in without asking again; default 5000. */
  keepRefused: Duration
}

export const LOGIN_LIMITS: InMilliseconds<LoginLimits> = {
  timeout: 3000,
  keep: 60_000,
  keepRefused: 5000,
}

/** How the login service is asked. */
export interface LoginQuestion {
  /** Where, without the cookie. */
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  /** The statuses of what is an answer; default: 200 alone. */
  readonly statuses?: readonly number[]
  /** @throws where it does not say whether somebody has logged in */
  readonly read: (answer: Answer) => Person | null
}

/** Who has logged in, as the login service says. */
export interface Person {
  readonly username: string
  /** All that it says. */
  readonly data: Readonly<Record<string, unknown>>
}

interface Known {
  /** Null: nobody. */
  readonly person: Person | null
  readonly until: number
}

/**
 * Asks BlueKing's login service whose a cookie is: once for all requests that wait with it. A failure is not kept, not even for a
 * moment: one cookie that the login service fails on would keep out all others.
 */
export class LoginService {
  readonly #question: LoginQuestion
  readonly #limits: InMilliseconds<LoginLimits>
  readonly #log: FastifyBaseLogger
  // By their digests: what is kept here is no cookie that somebody could use.
  readonly #known = new LRUCache<string, Known>({ max: KNOWN })
  readonly #checks = new Map<string, Promise<Person | null>>()
  readonly #closing = new AbortController()
  #isAway = false

  constructor(
    question: LoginQuestion,
    limits: InMilliseconds<LoginLimits>,
    log: FastifyBaseLogger,
  ) {
    this.#question = question
    this.#limits = limits
    this.#log = log
  }

  /** @returns null: nobody's. @throws {PlinthError} AUTH_UNAVAILABLE */
  find(cookie: string): Person | null | Promise<Person | null> {
    const digest = hash('sha256', cookie, 'base64')
    const known = this.#known.get(digest)
    if (known && performance.now() < known.until) return known.person
    return withinRequest(this.#check(cookie, digest), unavailable)
  }

  /** Gives up what is under way. */
  close(): void {
    this.#closing.abort()
  }

  #check(cookie: string, digest: string): Promise<Person | null> {
    const running = this.#checks.get(digest)
    if (running) return running
    if (this.#checks.size >= MAX_CHECKS)
      throw unavailable(new Error(`${MAX_CHECKS} answers are waited for`))
    const check = this.#ask(cookie, digest).finally(() => this.#checks.delete(digest))
    this.#checks.set(digest, check)
    return check
  }

  async #ask(cookie: string, digest: string): Promise<Person | null> {
    const { timeout, keep, keepRefused } = this.#limits
    const { url, read, ...question } = this.#question
    try {
      const answer = await downloadJson(`${url}?${new URLSearchParams({ bk_token: cookie })}`, {
        ...question,
        accept: 'application/json',
        maxBytes: MAX_BYTES,
        timeout,
        signal: this.#closing.signal,
      })
      const person = read(answer)
      const until = performance.now() + (person ? keep : keepRefused)
      this.#known.set(digest, { person, until })
      this.#tell(undefined)
      return person
    } catch (error) {
      this.#tell(error as Error)
      throw unavailable(error as Error)
    }
  }

  /** One line when it fails, and one when it answers again. */
  #tell(failure: Error | undefined): void {
    const { host } = new URL(this.#question.url)
    const wasAway = this.#isAway
    this.#isAway = failure !== undefined
    if (failure && !wasAway) this.#log.warn({ err: failure, host }, 'the login service fails')
    if (!failure && wasAway) this.#log.info({ host }, 'the login service answers again')
  }
}

/** What the login service itself says: `{ result: true, data: { bk_username } }`, or `{ result: false }`. */
export function readLogin({ value }: Answer): Person | null {
  const { result, data } = (value ?? {}) as { result?: unknown; data?: unknown }
  if (result === false) return null
  return personOf(result === true ? data : undefined)
}

/** What it says by the API gateway: `{ data: { bk_username } }`, or 400 with `{ error: { code } }`. */
export function readGatewayLogin({ status, value }: Answer): Person | null {
  const { data, error } = (value ?? {}) as { data?: unknown; error?: { code?: unknown } }
  if (status === 400 && typeof error?.code === 'string') return null
  return personOf(status === 200 && !error ? data : undefined)
}

function personOf(data: unknown): Person {
  const said = (data ?? {}) as Record<string, unknown>
  const username = said.bk_username ?? said.username
  // A name may not look like the id of an app.
  if (typeof username !== 'string' || username === '' || username.startsWith('app:'))
    throw new Error('the answer does not say whether somebody has logged in')
  return { username, data: Object.freeze(said) }
}

function unavailable(cause: Error): Error {
  return errors.AUTH_UNAVAILABLE.with({ cause }, 'the login service does not answer')
}
