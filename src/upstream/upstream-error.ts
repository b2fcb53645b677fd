import { ARGUMENTS, type ErrorFactory, PlinthError } from '../errors.ts'

/** What is known of a call that has failed: for the log and for code, and never sent to a client. */
export interface UpstreamDetails {
  /** The name of the API. */
  readonly api: string
  /** Which call of it, mostly the name of the resource. */
  readonly operation: string
  readonly method: string
  /** Without its query. */
  readonly url: string
  /** How often it was tried. */
  readonly attempts: number
  /** What is wrong, in words of this service. */
  readonly problem: string
  /** The HTTP status, where there was an answer. */
  readonly status?: number
  /** The code of the failure, in the words of the upstream, and its message. */
  readonly code?: string
  readonly message?: string
  /** What the upstream calls the request. */
  readonly requestId?: string
}

/** A call of another system has failed. What its client is told is the catalogue's; what the other system has said is in `upstream`. */
export class UpstreamError extends PlinthError {
  readonly upstream: UpstreamDetails

  constructor(kind: ErrorFactory<[api: string]>, upstream: UpstreamDetails, cause?: unknown) {
    const { code, statusCode, message, [ARGUMENTS]: filled } = kind(upstream.api)
    super(code, statusCode, message, cause === undefined ? {} : { cause })
    this[ARGUMENTS] = filled
    this.upstream = upstream
  }

  /** As `PlinthError.is`. */
  static override is(error: unknown): error is UpstreamError {
    return PlinthError.is(error) && 'upstream' in error
  }
}
