import type { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { LONGEST_TIMER } from '../deadlines.ts'
import {
  type Duration,
  type DurationLimits,
  type InMilliseconds,
  readTime,
  timeInWords,
} from '../duration.ts'
import { type ErrorDetail, errors } from '../errors.ts'
import type { Envelope, EnvelopeName, ParsedAnswer } from '../http/envelope.ts'
import type { Context } from '../resource/context.ts'
import type { BreakerOptions } from '../upstream/breaker.ts'
import type { UpstreamTls } from '../upstream/client.ts'
import type { UpstreamAnswer } from '../upstream/exchange.ts'
import type { RetryOptions } from '../upstream/retry.ts'

/** Headers by name; `undefined`: it is not sent. */
export type ApiHeaders = Readonly<Record<string, string | undefined>>

/** A call of an API. */
export interface ApiCall<Input = unknown> {
  /** Valid. */
  readonly input: Input
  readonly context: Context
  /** The name of the resource. */
  readonly operation: string
}

/** What is sent; hooks may change it. */
export interface ApiRequest {
  readonly method: string
  /** Behind the origin, with its query. */
  path: string
  /** Names in lower case. */
  headers: Record<string, string>
  body: string | Uint8Array | Readable | undefined
  /** Where it is sent. */
  readonly origin: string
  /** What the upstream may know, and no log: it is taken out of what is said of a failure. Who adds credentials adds them here, too. */
  readonly secrets: string[]
}

/** What an upstream has answered that is no success. */
export interface ApiFailure<Input = unknown> extends ApiCall<Input> {
  readonly status: number
  /** As the upstream says it. */
  readonly code: string | undefined
  readonly message: string | undefined
  readonly errors: readonly ErrorDetail[] | null
  readonly data: unknown
  readonly requestId: string | undefined
}

type MaybePromise<T> = T | Promise<T>

/** Who this service says it is. */
export type ApiAuth =
  | { bearer: string | ((context: Context) => MaybePromise<string>) }
  | { basic: { user: string; password: string } }
  /** As plinth/plugins/signature verifies it. */
  | { signature: { app: string; secret: string } }
  | ((request: ApiRequest, call: ApiCall) => MaybePromise<void>)

/** What is done at the steps of a call. */
export interface ApiHooks<Input = unknown> {
  /** What is sent, in place of the request. */
  buildData?(data: Input, call: ApiCall<Input>): MaybePromise<unknown>
  /** Behind the base URL, with its query. */
  buildUrl?(path: string, call: ApiCall<Input>): MaybePromise<string>
  buildHeaders?(headers: Record<string, string>, call: ApiCall<Input>): MaybePromise<ApiHeaders>
  /** May change what is sent, all of which is there by now. */
  beforeRequest?(request: ApiRequest, call: ApiCall<Input>): MaybePromise<void>
  /** What an answer says, in place of the envelope; `undefined`: it is not what was agreed. */
  parseResponse?(
    answer: UpstreamAnswer,
    call: ApiCall<Input>,
  ): MaybePromise<ParsedAnswer | undefined>
}

/** What is said of an API, or of one resource of it anew. */
export interface ApiSettings<Input = unknown> {
  /** Default: nobody. */
  auth?: ApiAuth
  headers?: ApiHeaders | ((context: Context) => MaybePromise<ApiHeaders>)
  /** For a whole call, retries included: milliseconds, or a text like `'10s'`, which is the default; 0: as long as the request has. */
  timeout?: Duration
  /** False: nothing is repeated. Default: 3 attempts, 100 ms before the second, at most 2 s, a retry for each 10 calls. */
  retry?: false | Partial<RetryOptions & { budget: number }>
  /** False: none. Default: 5 s of pause where half of at least 10 calls in 10 s have failed. */
  breaker?: false | Partial<BreakerOptions>
  /** Default: 50 connections, 1000 calls that wait for one. */
  limit?: { connections?: number; waiting?: number }
  /** Bytes of an answer when it is decompressed; default 10 MiB. */
  maxBytes?: number
  /** The form of its answers; default `bare`: the data itself. */
  envelope?: 'bare' | EnvelopeName | Pick<Envelope, 'parse'>
  /** What TLS is given: `ca`, `cert`, `key`, `rejectUnauthorized`; a function is asked once, when the app starts. */
  tls?: UpstreamTls | ((given: { config: FastifyInstance['config'] }) => UpstreamTls)
  /**
   * Which addresses it may have: `public` refuses, once its name is resolved, those of this machine and of networks that are not the internet.
   * Default: `any`, and `public` where `origin` says where a call goes.
   */
  addresses?: 'any' | 'public'
  /**
   * What a client of ours is told of failures, by the code of the upstream, else by its HTTP status; `undefined`: the same as of those that are
   * not listed, UPSTREAM_REFUSED, and of 429 and 503 UPSTREAM_UNAVAILABLE.
   */
  errors?: Readonly<Record<string | number, (failure: ApiFailure<Input>) => Error | undefined>>
  hooks?: ApiHooks<Input>
}

interface Range {
  readonly words: string
  /** `undefined`: it does not fit. */
  read(value: unknown): number | undefined
}

const timeOf = (limits: DurationLimits): Range => ({
  words: timeInWords(limits),
  read: (value) => readTime(value, limits),
})
const numberOf = (words: string, fits: (value: number) => boolean): Range => ({
  words,
  read: (value) => (typeof value === 'number' && fits(value) ? value : undefined),
})

const TIME = timeOf({ most: LONGEST_TIMER })
const COUNT = numberOf('an integer from 1', (value) => Number.isInteger(value) && value >= 1)

/** What numbers of an API may be. */
const RANGES: Readonly<Record<string, Range>> = {
  timeout: TIME,
  maxBytes: COUNT,
  'retry.attempts': COUNT,
  'retry.delay': TIME,
  'retry.maxDelay': TIME,
  'retry.budget': numberOf('a number from 0', (value) => value >= 0),
  'breaker.failures': numberOf('above 0 and below 1', (value) => value > 0 && value < 1),
  'breaker.window': timeOf({ least: 100, most: Number.MAX_SAFE_INTEGER }),
  'breaker.minimum': COUNT,
  'breaker.pause': timeOf({ most: Number.MAX_SAFE_INTEGER }),
  'limit.connections': COUNT,
  'limit.waiting': numberOf('an integer from 0', (value) => Number.isInteger(value) && value >= 0),
}

/** Settings that were read: their times are milliseconds. */
export type CheckedSettings<Settings> = Omit<Settings, 'timeout' | 'retry' | 'breaker'> & {
  timeout?: number
  retry?: false | Partial<InMilliseconds<RetryOptions> & { budget: number }>
  breaker?: false | Partial<InMilliseconds<BreakerOptions>>
}

/** @throws {PlinthError} API_INVALID where a number, or a time, cannot be */
export function checkSettings<Settings extends ApiSettings<never>>(
  name: string,
  settings: Settings,
): CheckedSettings<Settings> {
  const read = { ...settings } as Record<string, unknown>
  for (const [place, range] of Object.entries(RANGES)) {
    const [group = '', key] = place.split('.')
    const { [group]: found } = read
    const value = key === undefined ? found : (found as Record<string, unknown> | undefined)?.[key]
    if (value === undefined) continue
    const number = range.read(value)
    if (number === undefined)
      throw errors.API_INVALID(name, `its ${place} is ${value}; expected ${range.words}`)
    read[group] = key === undefined ? number : { ...(found as object), [key]: number }
  }
  return read as CheckedSettings<Settings>
}
