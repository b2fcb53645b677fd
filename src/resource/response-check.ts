import type { FastifyBaseLogger } from 'fastify'
import { type ErrorDetail, errors } from '../errors.ts'
import { exactly, toJson } from '../schema/json.ts'
import { toDetails } from '../schema/validate.ts'
import type { CompiledResources } from './compiled.ts'
import type { AnyDefined } from './contract.ts'
import { discard, isAsyncIterable, isStream } from './stream.ts'

/** A response as its caller may have it. */
export interface Accepted {
  /** As JSON has it: a text where `perform` has returned a date, a number for a bigint unless digits were lost, and the defaults of the schema. */
  value: unknown
  /** Whether it fits its schema, where it was left out what that does not list. */
  fits: boolean
}

// Those whose `perform` holds what it gives to the schema itself: it comes from another system, whose fault it is.
const checkedBefore = new WeakSet<AnyDefined>()

/** What `resource` performs fits its response schema already, or has failed: it is not checked once more. */
export function trustResponses(resource: AnyDefined): void {
  checkedBefore.add(resource)
}

/**
 * Holds what resources return to their schemas, whichever way they are called: strictly, or as in production, where
 * what does not fit is written as the schema says, and counted.
 */
export class ResponseCheck {
  readonly strict: boolean
  readonly #compiled: CompiledResources
  readonly #log: FastifyBaseLogger
  readonly #misfits = new Map<string, number>()

  constructor(strict: boolean, compiled: CompiledResources, log: FastifyBaseLogger) {
    this.strict = strict
    this.#compiled = compiled
    this.#log = log
  }

  /** By resource, how many responses have not fitted: of those over HTTP, how many of the ones that were looked at. */
  get misfits(): ReadonlyMap<string, number> {
    return this.#misfits
  }

  /**
   * Looks whether `response` fits.
   *
   * @throws {PlinthError} INVALID_RESPONSE where it does not, and must; a stream never does, and nothing only where null does
   */
  check(resource: AnyDefined, name: string, response: unknown): boolean {
    return this.#look(resource, name, response).fits
  }

  /**
   * The response where it fits, else what an answer over HTTP has of it.
   *
   * @throws {PlinthError} INVALID_RESPONSE as `check`; INTERNAL where nothing could be written
   */
  accept(resource: AnyDefined, name: string, response: unknown): Accepted {
    if (checkedBefore.has(resource) && !isStream(response)) return { value: response, fits: true }
    const looked = this.#look(resource, name, response)
    if (looked.fits) return looked
    const value = JSON.parse(this.#write(resource, response))
    return { value, fits: this.#validate(resource, value) === undefined }
  }

  #look(resource: AnyDefined, name: string, response: unknown): Accepted {
    assertData(name, response)
    const { copies } = this.#compiled.of(resource).responseValidator
    let isLong = false
    const value = toJson(response, copies, (long) => {
      isLong ||= typeof exactly(long) === 'bigint'
      return Number(long)
    })
    const problems = this.#validate(resource, value)
    if (!problems) return { value: isLong ? this.#exact(resource, response) : value, fits: true }
    // Of nothing at all an object would be written, with nothing in it.
    if (this.strict || value === null)
      throw errors.INVALID_RESPONSE.with({ errors: problems }, name)
    this.#count(name, problems)
    return { value, fits: false }
  }

  /** With all digits of bigints, which to the validator are no integers. */
  #exact(resource: AnyDefined, response: unknown): unknown {
    const { copies, validate } = this.#compiled.of(resource).responseValidator
    const value = toJson(response, copies, exactly)
    // For the defaults that it fills in.
    if (copies) validate(value)
    return value
  }

  /** What is wrong with `value`, a field that the schema would drop included; undefined: it fits. */
  #validate(resource: AnyDefined, value: unknown): ErrorDetail[] | undefined {
    const { validate } = this.#compiled.of(resource).responseValidator
    return validate(value) ? undefined : toDetails(validate.errors)
  }

  #write(resource: AnyDefined, response: unknown): string {
    try {
      return this.#compiled.of(resource).writer.write(response)
    } catch (cause) {
      throw errors.INTERNAL.with({ cause })
    }
  }

  #count(name: string, problems: readonly ErrorDetail[]): void {
    const count = this.#misfits.get(name) ?? 0
    this.#misfits.set(name, count + 1)
    if (count > 0) return
    this.#log.warn(
      { resource: name, errors: problems.slice(0, 10) },
      'a response does not fit its schema: what that does not list is left out (further ones are counted, not logged)',
    )
  }
}

/** @throws {PlinthError} INVALID_RESPONSE */
function assertData(name: string, response: unknown): void {
  const stream = isStream(response)
  if (!stream && !isAsyncIterable(response)) return
  if (stream) discard(response)
  const message = stream
    ? 'is a stream, which only a route can answer with, and no cache or task can keep'
    : 'is an async iterable: return a list, or Readable.from() of its bytes'
  throw errors.INVALID_RESPONSE.with({ errors: [{ path: '', message }] }, name)
}
