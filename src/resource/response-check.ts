import { Readable } from 'node:stream'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { type ErrorDetail, errors } from '../errors.ts'
import type { AnyDefined } from './contract.ts'
import { closeSchema } from './schema.ts'
import { toText } from './serialize.ts'
import { dataValidators, toDetails } from './validate.ts'

const validatorOf = dataValidators(({ response }) => closeSchema(response))

/** What is wrong with `response`, a field that the schema would drop included; undefined: it fits. */
function problemsOf(resource: AnyDefined, response: unknown): ErrorDetail[] | undefined {
  const { validate, copies } = validatorOf(resource)
  return validate(toJson(response, copies)) ? undefined : toDetails(validate.errors)
}

/** A response as its caller may have it. */
export interface Accepted {
  value: unknown
  /** Whether it fits its schema, where it was left out what that does not list. */
  fits: boolean
}

/**
 * Holds what resources return to their schemas, whichever way they are called: strictly, or as in production, where
 * what does not fit is written as the schema says, and counted.
 */
export class ResponseCheck {
  readonly strict: boolean
  readonly #log: FastifyBaseLogger
  readonly #misfits = new Map<string, number>()

  constructor(strict: boolean, log: FastifyBaseLogger) {
    this.strict = strict
    this.#log = log
  }

  /** By resource, how many responses have not fitted: of those over HTTP, how many of the ones that were looked at. */
  get misfits(): ReadonlyMap<string, number> {
    return this.#misfits
  }

  /**
   * Looks whether `response` fits.
   *
   * @throws {PlinthError} INVALID_RESPONSE where it does not, and must; a stream never does
   */
  check(resource: AnyDefined, name: string, response: unknown): boolean {
    if (response instanceof Readable) throw notData(name, response)
    const problems = problemsOf(resource, response)
    if (!problems) return true
    if (this.strict) throw errors.INVALID_RESPONSE.with({ errors: problems }, name)
    this.#count(name, problems)
    return false
  }

  /**
   * The response where it fits, else what an answer over HTTP has of it.
   *
   * @throws {PlinthError} INVALID_RESPONSE as `check`; INTERNAL where nothing could be written
   */
  accept(app: FastifyInstance, resource: AnyDefined, name: string, response: unknown): Accepted {
    if (this.check(resource, name, response)) return { value: response ?? null, fits: true }
    const value = JSON.parse(write(app, resource, response))
    return { value, fits: problemsOf(resource, value) === undefined }
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

function notData(name: string, stream: Readable): Error {
  stream.destroy()
  const message = 'is a stream, which only a route can answer with'
  return errors.INVALID_RESPONSE.with({ errors: [{ path: '', message }] }, name)
}

function write(app: FastifyInstance, resource: AnyDefined, response: unknown): string {
  try {
    return toText(app, resource, response)
  } catch (cause) {
    throw errors.INTERNAL.with({ cause })
  }
}

/**
 * What a value is once it has been JSON: dates are strings, `undefined` properties are not there.
 *
 * @param copies where it is false, an object that is JSON already, as rows are, is not copied
 */
function toJson(value: unknown, copies: boolean): unknown {
  if (value === undefined) return null
  if (typeof value === 'bigint') return Number(value)
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item) => toJson(item, copies))
  if ('toJSON' in value && typeof value.toJSON === 'function') return toJson(value.toJSON(), copies)
  if (!copies && isPlain(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, v]) => v !== undefined)
      .map(([k, v]) => [k, toJson(v, copies)]),
  )
}

/** Whether it is an object of no class whose properties are strings, numbers, booleans or null. */
function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== null && prototype !== Object.prototype) return false
  return Object.values(value).every((v) => v === null || SCALARS.has(typeof v))
}

const SCALARS: ReadonlySet<string> = new Set(['string', 'number', 'boolean'])
