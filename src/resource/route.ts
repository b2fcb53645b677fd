import { Readable } from 'node:stream'
import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  FastifySchemaValidationError,
  RouteOptions,
} from 'fastify'
import { assertReadableUrl } from './body.ts'
import { Context, runInContext } from './context.ts'
import type { Envelope } from './envelope.ts'
import { evaluatePreconditions } from './precondition.ts'
import { createMerge, type RequestParts, splitRequest } from './request.ts'
import type { AnyResource } from './resource.ts'
import type { JsonSchema } from './schema.ts'
import { assertResponse } from './strict.ts'
import { compileCoercing, compileExact } from './validate.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The full name of the resource that a route serves, `cities.retrieve`. */
    resource?: string
    /** What that resource is, for what looks at routes: the API document. */
    definition?: AnyResource['definition']
  }
}

export interface RouteSettings {
  app: FastifyInstance
  envelope: Envelope
  /** Check responses before they are sent: a field that the schema would drop is an error. */
  strict: boolean
  tags?: readonly string[]
}

/** The Fastify route that serves `resource` at its path. */
export function createRoute(
  name: string,
  resource: AnyResource,
  settings: RouteSettings,
): RouteOptions {
  const { definition } = resource
  const url = definition.path ?? '/'
  const parts = splitRequest(resource, name, url)
  return {
    method: definition.method ?? 'GET',
    url,
    config: { resource: name, definition },
    schema: createRouteSchema(name, resource, parts, settings),
    validatorCompiler: ({ schema, httpPart }) => compilePart(schema as JsonSchema, httpPart),
    ...(definition.timeout !== undefined && { handlerTimeout: definition.timeout }),
    handler: createHandler(name, resource, createMerge(parts), settings),
  }
}

function createRouteSchema(
  name: string,
  { definition, response }: AnyResource,
  parts: RequestParts,
  { envelope, tags }: RouteSettings,
) {
  return {
    operationId: name,
    summary: definition.summary,
    ...(definition.description && { description: definition.description }),
    ...(tags && { tags }),
    ...parts,
    response: { [definition.status ?? 200]: envelope.successSchema(response as JsonSchema) },
  }
}

function compilePart(schema: JsonSchema, httpPart: string | undefined) {
  if (httpPart !== 'body') return compileCoercing(schema)
  const validate = compileExact(schema)
  // No body is an empty one where nothing in it is required.
  const optional = schema.type === 'object' && (schema.required ?? []).length === 0
  return (body: unknown) => {
    const value = body ?? (optional ? {} : undefined)
    if (value === undefined) return { error: [MISSING_BODY] }
    if (validate(value)) return { value }
    return { error: (validate.errors ?? []) as FastifySchemaValidationError[] }
  }
}

const MISSING_BODY: FastifySchemaValidationError = {
  keyword: 'body',
  instancePath: '',
  schemaPath: '#',
  params: {},
  message: 'is missing: send a JSON body',
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>

function createHandler(
  name: string,
  resource: AnyResource,
  merge: (request: FastifyRequest) => unknown,
  { app, envelope, strict }: RouteSettings,
): Handler {
  const { definition } = resource
  const { perform } = definition
  const conditional = definition.etag !== undefined || definition.lastModified !== undefined
  return async function serveResource(request, reply) {
    assertReadableUrl(request)
    const input = merge(request)
    const context = new Context(app, request, reply)
    if (conditional && (await runInContext(context, check, input, context))) return reply.send()
    const data = await runInContext(context, perform, input, context)
    if (data === reply || data instanceof Readable) return data
    if (strict) assertResponse(resource, name, data)
    if (definition.status !== undefined) reply.code(definition.status)
    return envelope.success(data ?? null, request)
  }

  function check(input: unknown, context: Context): Promise<boolean> {
    return evaluatePreconditions(resource, input, context)
  }
}
