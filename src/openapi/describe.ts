import type { FastifySchema } from 'fastify'
import type { SecurityInfo } from '../resource/security.ts'
import {
  EVERY_PART,
  type JsonSchema,
  mapSchema,
  nameOf,
  referenceTo,
} from '../schema/json-schema.ts'
import type { ServedOperation } from './served.ts'
import type { Document, DocumentInfo, Operation } from './types.ts'

/** A document, and how to find in it what describes a route; `undefined` for a method that OpenAPI does not know. */
export interface Description {
  document: Document
  find(served: ServedOperation): Operation | undefined
}

/**
 * What `@fastify/swagger` makes of the routes. It describes those that are added after it, and takes 45 ms to
 * load: too much for every boot, so the routes are repeated for it, now, in an app that serves nothing.
 */
export async function describeRoutes(
  operations: readonly ServedOperation[],
  { info, authentication }: { info: DocumentInfo; authentication: SecurityInfo },
): Promise<Description> {
  const { default: swagger } = await import('@fastify/swagger')
  const { default: Fastify } = await import('fastify')
  const app = Fastify({ exposeHeadRoutes: false })
  app.setValidatorCompiler(() => () => true)
  app.setSerializerCompiler(() => JSON.stringify)
  // The server is the one that the document was read from; unless told, the page shows commands without a host.
  const { security, securitySchemes } = authentication
  const openapi = {
    openapi: '3.1.1',
    info,
    servers: [{ url: '/' }],
    ...(security && { security }),
    ...(securitySchemes && { components: { securitySchemes } }),
  }
  const refResolver = { buildLocalReference }
  await app.register(swagger, { openapi, convertConstToEnum: false, refResolver } as object)
  const names = new SharedNames()
  const isKits = operations.map(({ route }) => route.config?.resource !== undefined)
  let schemas = operations.map(({ route }) => asSent(route.schema ?? {}))
  // The plain names are for what is received.
  schemas = schemas.map((schema, i) => (isKits[i] ? shareResponses(schema, names) : schema))
  schemas = schemas.map((schema, i) => (isKits[i] ? shareRequest(schema, names) : schema))
  const shared = Object.assign({}, ...operations.map(({ scope }) => scope.getSchemas()))
  for (const [$id, schema] of Object.entries({ ...shared, ...names.schemas }))
    app.addSchema({ ...(schema as JsonSchema), $id })
  for (const [i, { method, url }] of operations.entries()) {
    const schema = schemas[i] as FastifySchema
    if (app.supportedMethods.includes(method)) app.route({ method, url, schema, handler: () => {} })
  }
  await app.ready()
  const document = app.swagger() as unknown as Document
  return {
    document,
    find: ({ method, url }) => document.paths[swagger.formatParamUrl(url)]?.[method.toLowerCase()],
  }
}

/** The name in the document of a schema with an `$id`. */
function buildLocalReference({ $id }: JsonSchema, _: unknown, __: unknown, index: number): string {
  return typeof $id === 'string' ? $id.replaceAll(/[^\w.-]+/g, '_') : `def-${index}`
}

function shareResponses(schema: FastifySchema, names: SharedNames): FastifySchema {
  const responses = Object.entries((schema.response ?? {}) as Definitions)
  const shared = responses.map(([status, one]) => [status, names.share(one)])
  return { ...schema, response: Object.fromEntries(shared) }
}

/** What is sent may be told otherwise than what is received: closed, and with defaults. */
function shareRequest(schema: FastifySchema, names: SharedNames): FastifySchema {
  const copy = { ...schema }
  for (const part of ['params', 'querystring', 'body'] as const) {
    if (copy[part]) copy[part] = names.share(copy[part] as JsonSchema, 'Input')
  }
  return copy
}

/** The schemas of what is sent, not of what the handler gets: a property with a default may be left out. */
function asSent(schema: FastifySchema): FastifySchema {
  const copy = { ...schema }
  for (const part of ['querystring', 'headers', 'body'] as const) {
    if (copy[part]) copy[part] = mapSchema(copy[part] as JsonSchema, withoutDefaulted)
  }
  return copy
}

function withoutDefaulted(schema: JsonSchema): JsonSchema {
  const { properties, required } = schema
  if (!properties || !required) return schema
  const hasDefault = (name: string) => 'default' in (properties[name] ?? {})
  return { ...schema, required: required.filter((name) => !hasDefault(name)) }
}

/** Gives the `$defs` of resources names of their own in a document: equal ones of one name have the same. */
class SharedNames {
  readonly schemas: Record<string, JsonSchema> = {}
  readonly #names = new Map<string, string>()

  /** `schema` with references to `schemas` instead of `$defs`. */
  share({ $defs = {}, ...schema }: JsonSchema & { $defs?: Definitions }, suffix = ''): JsonSchema {
    const names = new Map<string, string>()
    const rename = (part: JsonSchema): JsonSchema =>
      typeof part.$ref === 'string' ? { ...part, $ref: `${names.get(nameOf(part.$ref))}#` } : part
    const used = referred(schema, $defs)
    for (const name of used) names.set(name, this.#add(name, $defs, suffix))
    for (const name of used) {
      const own = names.get(name) as string
      this.schemas[own] ??= mapSchema($defs[name] as JsonSchema, rename, EVERY_PART)
    }
    return mapSchema(schema, rename, EVERY_PART)
  }

  #add(name: string, $defs: Definitions, suffix: string): string {
    const all = Array.from(referred({ $ref: referenceTo(name) }, $defs), (one) => [one, $defs[one]])
    const text = JSON.stringify([name, all])
    const known = this.#names.get(text)
    if (known !== undefined) return known
    const wanted = `${name.replaceAll(':', '.')}${suffix}`
    // One of the document is called Error.
    const taken = new Set(['Error', ...this.#names.values()])
    let own = wanted
    for (let i = 2; taken.has(own); i++) own = `${wanted}${i}`
    this.#names.set(text, own)
    return own
  }
}

type Definitions = Record<string, JsonSchema>

/** The names of all that `schema` leads to. */
function referred(schema: JsonSchema, $defs: Definitions): Set<string> {
  const names = new Set<string>()
  const collect = (part: JsonSchema): JsonSchema => {
    if (typeof part.$ref === 'string') names.add(nameOf(part.$ref))
    return part
  }
  mapSchema(schema, collect, EVERY_PART)
  // A set that grows is walked through to its new end.
  for (const name of names) mapSchema($defs[name] as JsonSchema, collect, EVERY_PART)
  return names
}
