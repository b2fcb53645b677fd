import { type ErrorDetail, errors } from '../errors.ts'
import type { Method } from '../resource/contract.ts'
import type { JsonSchema } from '../schema/json-schema.ts'
import type { EncodedBody } from '../upstream/body.ts'

/** Where the parts of a request go. */
export interface Addressed {
  /** With its query. */
  path: string
  /** What is left for a body, as JSON; undefined: nothing is. */
  rest: unknown
  /** The body as it is sent, in place of that. */
  encoded?: EncodedBody
  /** Of this request alone; names in lower case. */
  headers?: Readonly<Record<string, string>>
}

/** What divides a request over path, query and body. */
export type Address = (data: unknown) => Addressed

export interface Addressing {
  /** For errors. */
  name: string
  method: Method
  /** `/users/{id}` */
  path: string
  /** Properties that go to the query though there is a body. */
  query: readonly string[]
  /** Whether what neither path nor query names is a body; default: unless the method is GET or DELETE. */
  hasBody?: boolean
  /** The schema of the request. */
  request: JsonSchema
}

/**
 * Compiles what divides a request: what the path names goes there, then what `query` lists; of the rest GET and DELETE make a query, too, and
 * the others a body.
 *
 * @throws {PlinthError} API_INVALID where the path names what the request does not have
 */
export function createAddress({
  name,
  method,
  path,
  query,
  request,
  hasBody = method !== 'GET' && method !== 'DELETE',
}: Addressing): Address {
  const properties = request.properties && Object.keys(request.properties)
  const segments = path.split(/\{([^{}]*)\}/)
  const parameters = segments.filter((_, at) => at % 2 === 1)
  const refuse = (problem: string) => errors.API_INVALID(name, problem)
  if (path !== '' && !path.startsWith('/')) throw refuse(`the path ${path} does not begin with /`)
  if (/[?#]/.test(path)) throw refuse(`the path ${path} has a query; list it in request and query`)
  const missing = [...parameters, ...query].find((one) => properties && !properties.includes(one))
  if (missing !== undefined)
    throw refuse(`the path or query of ${path} has ${missing}, its request schema has not`)
  const taken = new Set([...parameters, ...(hasBody ? query : [])])
  const isEmpty = properties?.every((one) => taken.has(one)) ?? false
  return (data) => {
    const given = data as Record<string, unknown>
    const url = parameters.length > 0 ? fillPath(name, segments, given) : path
    if (taken.size === 0 && hasBody) return { path: url, rest: isEmpty ? undefined : data }
    const rest: Record<string, unknown> = {}
    for (const key of Object.keys(given)) if (!taken.has(key)) rest[key] = given[key]
    if (!hasBody) return { path: url + writeQuery(rest), rest: undefined }
    const queried = query.length > 0 ? writeQuery(given, query) : ''
    return { path: url + queried, rest: isEmpty ? undefined : rest }
  }
}

/**
 * @param segments of the path: every other one is the name of a parameter
 * @throws {PlinthError} INVALID_REQUEST where a parameter would name another path: empty, `.` or `..`
 */
export function fillPath(
  name: string,
  segments: readonly string[],
  data: Record<string, unknown>,
): string {
  let url = ''
  for (const [at, segment] of segments.entries()) {
    if (at % 2 === 0) {
      url += segment
      continue
    }
    const text = String(data[segment] ?? '')
    if (text === '' || text === '.' || text === '..') {
      const wrong: ErrorDetail = { path: `/${segment}`, message: 'cannot be a part of a path' }
      throw errors.INVALID_REQUEST.with({ errors: [wrong] }, name)
    }
    url += encodeURIComponent(text)
  }
  return url
}

/** What is `undefined` is left out, null is empty, a list is one parameter for each item. */
export function writeQuery(
  data: Record<string, unknown>,
  names: readonly string[] = Object.keys(data),
): string {
  let text = ''
  for (const name of names) {
    const value = data[name]
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one === undefined) continue
      text += `${text === '' ? '?' : '&'}${encodeURIComponent(name)}=${encodeURIComponent(toText(one))}`
    }
  }
  return text
}

function toText(value: unknown): string {
  if (value === null) return ''
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
