import type { FastifyInstance, FastifyRequest } from 'fastify'
import { errors } from '../errors.ts'
import type { AnyDefined } from '../resource/contract.ts'
import { type JsonSchema, pickProperties } from '../schema/json-schema.ts'
import { unfold } from '../schema/references.ts'

/** Where each part of a resource's request comes from, as Fastify names the schemas. */
export interface RequestParts {
  params?: JsonSchema
  querystring?: JsonSchema
  body?: JsonSchema
}

/**
 * Divides `schema`, a resource's complete request schema, over path, query and body of the route `url`. GET reads the query, the other methods
 * the body; properties that the path names come from there.
 *
 * @throws {PlinthError} RESOURCE_INVALID where a name has two places or none
 */
export function splitRequest(
  schema: JsonSchema,
  resource: AnyDefined,
  name: string,
  url: string,
): RequestParts {
  const refuse = (problem: string) => errors.RESOURCE_INVALID(name, problem)
  const inPath = Array.from(url.matchAll(/:(\w+)/g), ([, parameter]) => parameter as string)
  const inQuery: readonly string[] = resource.definition.query ?? []
  if (url.includes('*')) throw refuse('a path has no wildcard; name its parameters')
  if (!schema.properties) {
    if (inPath.length + inQuery.length > 0)
      throw refuse('a request that is no object has no path or query')
    if (!hasBody(resource)) throw refuse('a GET has no body to hold a request that is no object')
    return { querystring: pickProperties(schema, []), body: schema }
  }
  const missing = (parts: readonly string[]) =>
    parts.find((part) => !Object.hasOwn(schema.properties as object, part))
  const [path, query] = [missing(inPath), missing(inQuery)]
  if (path !== undefined)
    throw refuse(`${url} has ${path}, its request schema has not; list it: ${path}: Type.String()`)
  if (query !== undefined) throw refuse(`its query has ${query}, its request schema has not`)
  const twice = [...inPath, ...inQuery].find((part, i, all) => all.indexOf(part) !== i)
  if (twice) throw refuse(`${twice} appears twice in its path and query`)
  const rest = Object.keys(schema.properties).filter(
    (property) => !inPath.includes(property) && !inQuery.includes(property),
  )
  const queried = hasBody(resource) ? inQuery : [...inQuery, ...rest]
  const object = [...inPath, ...queried].find((one) =>
    isObject(schema.properties?.[one] ?? {}, schema),
  )
  if (object !== undefined)
    throw refuse(
      `${object} is an object, which a path or query cannot hold; take it from a body, or list its properties`,
    )
  return {
    ...(inPath.length > 0 && { params: pickUnfolded(schema, inPath) }),
    // An empty one is kept: it refuses query parameters that nothing reads.
    querystring: pickUnfolded(schema, queried),
    ...(hasBody(resource) && rest.length > 0 && { body: pickProperties(schema, rest) }),
  }
}

/** Whether nothing but an object would do for `schema`. */
export function isObject(schema: JsonSchema, root: JsonSchema): boolean {
  const { type, anyOf, oneOf = anyOf, allOf, items } = unfold(schema, root)
  if (type === 'object') return true
  if (type === 'array')
    return !!items && !Array.isArray(items) && isObject(items as JsonSchema, root)
  if (Array.isArray(oneOf)) return oneOf.every((one) => isObject(one, root))
  return Array.isArray(allOf) && allOf.some((one) => isObject(one, root))
}

/** Properties that are told as parameters, one by one: what each is stands there. */
function pickUnfolded(schema: JsonSchema, names: readonly string[]): JsonSchema {
  const picked = pickProperties(schema, names)
  const unfolded = Object.entries(picked.properties ?? {}).map(([name, one]) => [
    name,
    unfold(one, schema),
  ])
  return { ...picked, properties: Object.fromEntries(unfolded) }
}

/**
 * Warns of parameters of the route `url` that `app`'s router cuts off before their schema does: Fastify answers what is
 * longer itself, with 414, because there is no route yet.
 */
export function warnOfLongParameters(app: FastifyInstance, url: string, params: JsonSchema): void {
  const limit = app.initialConfig.routerOptions?.maxParamLength ?? 100
  for (const [name, { maxLength }] of Object.entries(params.properties ?? {})) {
    if (typeof maxLength !== 'number' || maxLength <= limit) continue
    app.log.warn(
      `${url}: ${name} may have ${maxLength} characters, and the router takes ${limit}; raise it: Fastify({ routerOptions: { maxParamLength: ${maxLength} } })`,
    )
  }
}

/** Whether the method of `resource` sends its request as a body. */
export function hasBody(resource: AnyDefined): boolean {
  return (resource.definition.method ?? 'GET') !== 'GET'
}

/** Makes the function that puts the parts of a validated HTTP request together again. */
export function createMerge(parts: RequestParts): (request: FastifyRequest) => unknown {
  const { params, querystring, body } = parts
  const query = Object.keys(querystring?.properties ?? {}).length > 0
  if (body && !params && !query) return (request) => request.body
  if (query && !params && !body) return (request) => request.query
  if (params && !query && !body) return (request) => request.params
  if (params && body && !query) {
    return (request) => Object.assign({}, request.body, request.params)
  }
  return (request) =>
    Object.assign(
      {},
      body && (request.body as object),
      query && (request.query as object),
      params && (request.params as object),
    )
}
