import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { assertReadableUrl, createBodyCheck } from './body.ts'
import type { CacheSlot } from './cache-policy.ts'
import { cachedText, cacheSlot } from './cached.ts'
import { assertData, assertNoStream } from './call.ts'
import { Context, runInContext, userOf } from './context.ts'
import { Deadline } from './deadline.ts'
import { enqueueInput } from './enqueue.ts'
import { asJson, type Envelope, toSend } from './envelope.ts'
import { evaluatePreconditions } from './precondition.ts'
import {
  createMerge,
  hasBody,
  type RequestParts,
  splitRequest,
  warnOfLongParameters,
} from './request.ts'
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
  const { app } = settings
  const parts = splitRequest(resource, name, `${app.prefix}${url}`)
  if (parts.params) warnOfLongParameters(app, `${app.prefix}${url}`, parts.params)
  return {
    method: definition.method ?? 'GET',
    url,
    config: { resource: name, definition, deadline: definition.timeout ?? settings.timeout },
    schema: createRouteSchema(name, resource, parts, settings),
    validatorCompiler: ({ schema, httpPart }) => compilePart(schema as JsonSchema, httpPart),
    serializerCompiler: ({ schema }) =>
      compileSerializer(schema as JsonSchema, app.getSchemas() as SharedSchemas),
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

/** What it returns is sent. */
type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

function createHandler(
  name: string,
  resource: AnyResource,
  merge: (request: FastifyRequest) => unknown,
  { app, envelope, strict, ...settings }: RouteSettings,
): Handler {
  const { definition } = resource
  const { perform, status = 200 } = definition
  const conditional = definition.etag !== undefined || definition.lastModified !== undefined
  const timeout = definition.timeout ?? settings.timeout
  // Not async: what is cached is answered without a promise.
  return function serveResource(request, reply) {
    assertReadableUrl(request)
    const input = merge(request)
    if (request.headers[ASYNC] !== undefined) return answerTask(input, request, reply)
    const slot = definition.cache && slotOf(input, request)
    const hit = conditional ? undefined : slot?.cache.peek(slot.key)
    if (hit !== undefined) return answerText(hit, request, reply)
    return work(input, slot, request, reply)
  }

  async function work(
    input: unknown,
    slot: CacheSlot | undefined,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<unknown> {
    const deadline = new Deadline(reply, timeout)
    const context = new Context(app, request, reply, deadline)
    let data: unknown
    try {
      if (conditional && (await runInContext(context, check, input, context))) return reply.send()
      data = slot
        ? await cachedText(slot, { resource, input, context, timeout, check: checkLoaded })
        : await runInContext(context, perform, input, context)
    } finally {
      deadline.end()
    }
    // A reply that `perform` has sent itself: to wait for it is to wait until it has been sent.
    if (reply.sent) return reply
    if (slot) return answerText(data as string, request, reply)
    if (data instanceof Readable) return data
    if (strict) assertResponse(resource, name, data)
    // Always: only for this status is there a serializer, which leaves out what the schema does not list.
    reply.code(status)
    return asJson(envelope.success(data ?? null, request), reply)
  }

  function check(input: unknown, context: Context): Promise<boolean> {
    return evaluatePreconditions(resource, input, context)
  }

  function slotOf(input: unknown, request: FastifyRequest): CacheSlot | undefined {
    return cacheSlot(resource, name, input, { app, user: userOf(request) })
  }

  function checkLoaded(response: unknown): void {
    if (strict) assertData(resource, name, response)
    else assertNoStream(name, response)
  }

  function answerText(json: string, request: FastifyRequest, reply: FastifyReply): string {
    return toSend(envelope.successText(json, request), reply.code(status))
  }

  async function answerTask(
    input: unknown,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<string> {
    const context = new Context(app, request, reply)
    const { task_id } = await enqueueInput(resource, name, input, context)
    return toSend(envelope.successText(JSON.stringify({ task_id }), request), reply)
  }
}

/** With this header, whatever it says, a request is not answered but becomes a task. */
const ASYNC = 'x-async-task'
