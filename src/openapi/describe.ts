import type { FastifyInstance, FastifySchema } from 'fastify'
import { type JsonSchema, mapSchema } from '../resource/schema.ts'
import type { SecurityInfo } from '../resource/security.ts'
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
  await app.register(swagger, { openapi, convertConstToEnum: false } as object)
  const schemas = operations.map(({ scope }) => scope.getSchemas())
  for (const schema of Object.values(Object.assign({}, ...schemas))) app.addSchema(schema)
  for (const served of operations) repeat(app, served)
  await app.ready()
  const document = app.swagger() as unknown as Document
  return {
    document,
    find: ({ method, url }) => document.paths[swagger.formatParamUrl(url)]?.[method.toLowerCase()],
  }
}

function repeat(app: FastifyInstance, { method, url, route }: ServedOperation): void {
  if (!app.supportedMethods.includes(method)) return
  app.route({ method, url, schema: asSent(route.schema ?? {}), handler: () => {} })
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
