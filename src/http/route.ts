import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { errors } from '../errors.ts'
import type { CacheSlot } from '../resource/cache-policy.ts'
import { cachedText, cacheSlot } from '../resource/cached.ts'
import { Context, runInContext, type User, userOf } from '../resource/context.ts'
import { enqueueInput } from '../resource/enqueue.ts'
import type { AnyResource } from '../resource/resource.ts'
import { boundNumbers, hasSecrets, type JsonSchema } from '../resource/schema.ts'
import type { Security } from '../resource/security.ts'
import { compileSerializer, type SharedSchemas } from '../resource/serialize.ts'
import { compileCoercing, compileExact } from '../resource/validate.ts'
import { assertReadableUrl, createBodyCheck } from './body.ts'
import { createBodyDeadline, Deadline } from './deadline.ts'
import { asJson, type Envelope, toSend } from './envelope.ts'
import { evaluatePreconditions } from './precondition.ts'
import {
  createMerge,
  hasBody,
  type RequestParts,
  splitRequest,
  warnOfLongParameters,
} from './request.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The full name of the resource that a route serves, `cities.retrieve`. */
    resource?: string
    /** What that resource is, for what looks at routes: the API document. */
    definition?: AnyResource['definition']
    /** Whether the header `X-Async-Task` makes a call of it a task. */
    async?: boolean
  }
}

export interface RouteSettings {
  app: FastifyInstance
  envelope: Envelope
  /** Milliseconds that a resource without a `timeout` of its own may take; 0: as long as it takes. */
  timeout: number
  /** Whether clients may have a resource run as a task that does not say it itself. */
  async: boolean
  tags?: readonly string[]
  /** Of resources that say nothing of their own. */
  security?: Security | undefined
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
  const async = allowsTasks(name, resource, settings.async)
  const deadline = definition.timeout ?? settings.timeout
  return {
    method: definition.method ?? 'GET',
    url,
    config: { resource: name, definition, deadline, async },
    schema: createRouteSchema(name, resource, parts, settings),
    validatorCompiler: ({ schema, httpPart }) => compilePart(schema as JsonSchema, httpPart),
    serializerCompiler: ({ schema }) =>
      compileSerializer(schema as JsonSchema, app.getSchemas() as SharedSchemas),
    ...(hasBody(resource) && {
      onRequest: createBodyDeadline(definition.timeout ?? settings.timeout),
      preValidation: createBodyCheck(name, parts.body, definition.consumes !== undefined),
    }),
    handler: createHandler(name, resource, createMerge(parts), { ...settings, async }),
  }
}

function createRouteSchema(
  name: string,
  { definition, response }: AnyResource,
  parts: RequestParts,
  { envelope, tags, ...settings }: RouteSettings,
) {
  const { security = settings.security } = definition
  return {
    operationId: name,
    summary: definition.summary,
    ...(definition.description && { description: definition.description }),
    ...(tags && { tags }),
    ...(security && { security }),
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
  { app, envelope, async, ...settings }: RouteSettings,
): Handler {
  const { definition } = resource
  const { perform, status = 200 } = definition
  const conditional = definition.etag !== undefined || definition.lastModified !== undefined
  const timeout = definition.timeout ?? settings.timeout
  const { responses } = app
  let answered = 0
  // Not async: what is cached is answered without a promise.
  return function serveResource(request, reply) {
    assertReadableUrl(request)
    const user = userOf(app, request)
    const input = merge(request)
    if (request.headers[ASYNC] !== undefined) return addTask(input, user, request, reply)
    const slot = definition.cache && cacheSlot(resource, name, input, { app, user })
    const hit = conditional ? undefined : slot?.cache.peek(slot.key)
    if (hit !== undefined) return answerText(hit, request, reply)
    return work(input, slot, user, request, reply)
  }

  async function work(
    input: unknown,
    slot: CacheSlot | undefined,
    user: User | undefined,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<unknown> {
    const deadline = new Deadline(reply, timeout)
    const context = Context.ofRequest(app, request, reply, user, deadline)
    let data: unknown
    try {
      if (conditional && (await runInContext(context, check, input, context))) return reply.send()
      data = slot
        ? await cachedText(slot, { resource, name, input, context })
        : await runInContext(context, perform, input, context)
    } finally {
      deadline.end()
    }
    // A reply that `perform` has sent itself: to wait for it is to wait until it has been sent.
    if (reply.sent || reply.raw.headersSent) return reply
    if (slot) return answerText(data as string, request, reply)
    if (data instanceof Readable) return data
    if (responses.strict || answered++ % LOOK === 0) responses.check(resource, name, data)
    // Always: only for this status is there a serializer, which leaves out what the schema does not list.
    reply.code(status)
    return asJson(envelope.success(data ?? null, request), reply)
  }

  function check(input: unknown, context: Context): Promise<boolean> {
    return evaluatePreconditions(resource, input, context)
  }

  function answerText(json: string, request: FastifyRequest, reply: FastifyReply): string {
    return toSend(envelope.successText(json, request), reply.code(status))
  }

  async function addTask(
    input: unknown,
    user: User | undefined,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<unknown> {
    const problem = async
      ? problemOf(request)
      : 'neither it nor its module or service says async: true'
    if (problem) throw errors.TASK_REFUSED(name, problem)
    const deadline = new Deadline(reply, timeout)
    const context = Context.ofRequest(app, request, reply, user, deadline)
    try {
      if (conditional && (await runInContext(context, check, input, context))) return reply.send()
      const { task_id } = await enqueueInput(resource, name, input, context)
      // They are those of what the task will find.
      reply.removeHeader('etag').removeHeader('last-modified')
      return toSend(envelope.successText(JSON.stringify({ task_id }), request), reply)
    } finally {
      deadline.end()
    }
  }
}

/** Where it is not strict, the first response and each so-manieth is looked at: to look at each would slow them down. */
const LOOK = 100

/** With this header, whatever it says, a request is not answered but becomes a task. */
const ASYNC = 'x-async-task'

/**
 * Whether requests for `resource` may become tasks.
 *
 * @param inherited what its module or service says
 * @throws {PlinthError} RESOURCE_INVALID where it says so itself and has a secret, which would be kept in Redis
 */
function allowsTasks(name: string, resource: AnyResource, inherited: boolean): boolean {
  const { async = inherited } = resource.definition
  if (!async || !hasSecrets([resource.request, resource.response])) return async
  if (resource.definition.async)
    throw errors.RESOURCE_INVALID(
      name,
      'it is async: true and has a secret, which Redis would keep',
    )
  return false
}

/** Why `request` cannot be repeated elsewhere: all of it has to be in what the task keeps. */
function problemOf({ method, headers }: FastifyRequest): string | undefined {
  if (method === 'HEAD') return 'HEAD has no answer to tell its id in'
  const { 'content-type': type = '', 'content-length': length = '0' } = headers
  const hasBody = length !== '0' || headers['transfer-encoding'] !== undefined
  return hasBody && !JSON_TYPE.test(type) ? 'its body is not application/json' : undefined
}

const JSON_TYPE = /^application\/json\s*(;|$)/i
