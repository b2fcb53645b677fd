import type { ErrorDetail } from '../errors.ts'
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
  body: string | Uint8Array | undefined
  /** Where it is sent. */
  readonly origin: string
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
  /** Milliseconds for a whole call, retries included; 0: as long as the request has. Default 10,000. */
  timeout?: number
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
  /** What TLS is given: `ca`, `cert`, `key`, `rejectUnauthorized`. */
  tls?: UpstreamTls
  /**
   * What a client of ours is told of failures, by the code of the upstream, else by its HTTP status; `undefined`: the same as of those that are
   * not listed, UPSTREAM_REFUSED, and of 429 and 503 UPSTREAM_UNAVAILABLE.
   */
  errors?: Readonly<Record<string | number, (failure: ApiFailure<Input>) => Error | undefined>>
  hooks?: ApiHooks<Input>
}
