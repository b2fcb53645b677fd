import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { assertReadableUrl, createBodyCheck } from './body.ts'
import { Context, runInContext } from './context.ts'
import { Deadline } from './deadline.ts'
import { asJson, type Envelope } from './envelope.ts'
import { evaluatePreconditions } from './precondition.ts'
import { createMerge, hasBody, type RequestParts, splitRequest } from './request.ts'
import type { AnyResource } from './resource.ts'
import { boundNumbers, type JsonSchema } from './schema.ts'
import { compileSerializer, type SharedSchemas } from './serialize.ts'
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
  /** Milliseconds that a resource without a `timeout` of its own may take; 0: as long as it takes. */
  timeout: number
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
  const parts = splitRequest(resource, name, `${settings.app.prefix}${url}`)
  return {
    method: definition.method ?? 'GET',
    url,
    config: { resource: name, definition, deadline: definition.timeout ?? settings.timeout },
    schema: createRouteSchema(name, resource, parts, settings),
    validatorCompiler: ({ schema, httpPart }) => compilePart(schema as JsonSchema, httpPart),
    serializerCompiler: ({ schema }) =>
      compileSerializer(schema as JsonSchema, settings.app.getSchemas() as SharedSchemas),
    ...(hasBody(resource) && { preValidation: createBodyCheck(name, parts.body) }),
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
  const bounded = boundNumbers(schema)
  return httpPart === 'body' ? compileExact(bounded) : compileCoercing(bounded)
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>

function createHandler(
  name: string,
  resource: AnyResource,
  merge: (request: FastifyRequest) => unknown,
  { app, envelope, strict, ...settings }: RouteSettings,
): Handler {
  const { definition } = resource
  const { perform } = definition
  const conditional = definition.etag !== undefined || definition.lastModified !== undefined
  const timeout = definition.timeout ?? settings.timeout
  return async function serveResource(request, reply) {
    assertReadableUrl(request)
    const input = merge(request)
    const deadline = new Deadline(reply, timeout)
    const context = new Context(app, request, reply, deadline)
    let data: unknown
    try {
      if (conditional && (await runInContext(context, check, input, context))) return reply.send()
      data = await runInContext(context, perform, input, context)
    } finally {
      deadline.end()
    }
    // A reply that `perform` has sent itself: to wait for it is to wait until it has been sent.
    if (reply.sent) return reply
    if (data instanceof Readable) return data
    if (strict) assertResponse(resource, name, data)
    // Always: only for this status is there a serializer, which leaves out what the schema does not list.
    reply.code(definition.status ?? 200)
    return asJson(envelope.success(data ?? null, request), reply)
  }

  function check(input: unknown, context: Context): Promise<boolean> {
    return evaluatePreconditions(resource, input, context)
  }
}
