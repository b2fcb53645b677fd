import type { ValidateFunction } from 'ajv/dist/2019.js'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { TSchema } from 'typebox'
import { errors } from '../errors.ts'
import type { Access } from '../resource/access.ts'
import { type CacheMode, policyFor } from '../resource/cache-policy.ts'
import type { Context } from '../resource/context.ts'
import type { AnyDefined, Idempotency } from '../resource/contract.ts'
import { type Answer, execute } from '../resource/execute.ts'
import type { PlacedLimit } from '../resource/rate-limit.ts'
import type { Security } from '../resource/security.ts'
import { discard, isAsyncIterable, isEventSchema, isStream } from '../resource/stream.ts'
import { fromJson } from '../schema/json.ts'
import { boundNumbers, type JsonSchema } from '../schema/json-schema.ts'
import { compileSerializer, compileSerializerLater, liftDefinitions } from '../schema/serialize.ts'
import { compileExact, compileLater } from '../schema/validate.ts'
import { ASYNC, allowsTasks, problemOfTask, taskOptionsOf } from './as-task.ts'
import { assertReadableUrl, createBodyCheck } from './body.ts'
import { tellCaching } from './cache-headers.ts'
import { asJson, type Envelope, NO_CONTENT, successStatusOf, toSend } from './envelope.ts'
import { createEventWriter } from './event-stream.ts'
import { idempotencyOf } from './idempotency.ts'
import { evaluatePreconditions } from './precondition.ts'
import { compileText } from './read-text.ts'
import { keepingFiles } from './received-files.ts'
import {
  createMerge,
  hasBody,
  type RequestParts,
  splitRequest,
  warnOfLongParameters,
} from './request.ts'
import { contextOf, setDeadline } from './request-context.ts'
import { isSent } from './request-line.ts'
import { sendStream } from './send-stream.ts'
import { checkUpload, type UploadForm, uploadOf } from './upload.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The full name of the resource that a route serves, `cities.retrieve`. */
    resource?: string
    /** What that resource is, for what looks at routes: the API document. */
    definition?: AnyDefined['definition']
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
  /** How a resource takes the header `Idempotency-Key` that does not say it itself. */
  idempotency: Idempotency
  /** What the API document calls it: its name, but where it is listed before. */
  operationId: string
  tags?: readonly string[] | undefined
  /** Whether a route of the app has hooks that get what is answered as an object. Known when the app is ready. */
  hooked: { readonly serialization: boolean }
  /** Of resources that say nothing of their own. */
  security?: Security | undefined
  /** Who may call it there, where that is decided. */
  access?: Access | undefined
  /** How often it may be asked for there. */
  limits: readonly PlacedLimit[]
}

/** The Fastify route that serves `resource` at its path. */
export function createRoute(
  name: string,
  resource: AnyDefined,
  settings: RouteSettings,
): RouteOptions {
  const { definition } = resource
  const url = definition.path ?? '/'
  const { app, access, limits } = settings
  const compiled = app.compiled.of(resource)
  const parts = splitRequest(compiled.request, resource, name, `${app.prefix}${url}`)
  if (parts.params) warnOfLongParameters(app, `${app.prefix}${url}`, parts.params)
  const async = allowsTasks(name, definition, compiled, settings.async)
  const { timeout } = settings
  // Where it is registered it has set that of all routes.
  const { timeout: given } = app.registry.of(resource)
  const own = given ?? (app.hasPlugin('deadline') ? undefined : timeout)
  const deadline = given ?? timeout
  const upload = uploadOf(name, resource, parts, app.initialConfig.bodyLimit)
  const idempotency = idempotencyOf(name, resource, settings.idempotency)
  if (idempotency && !app.hasDecorator('idempotency'))
    throw errors.RESOURCE_INVALID(name, UNANSWERED)
  const isKept = idempotency !== undefined
  const handling = { ...settings, async, deadline, isKept }
  const handler = createHandler(name, resource, createMerge(parts), handling)
  const checkBody = upload
    ? checkUpload
    : hasBody(resource) && createBodyCheck(name, parts.body, definition.consumes !== undefined)
  return {
    method: definition.method ?? 'GET',
    url,
    config: {
      ...{ resource: name, definition, deadline, async, limits },
      ...(access && { access }),
      ...(idempotency && { idempotency }),
      ...(upload && { upload }),
    },
    schema: createRouteSchema(resource, compiled.response, parts, settings),
    ...compilersFor(app.responses.strict, upload),
    ...(own !== undefined && { onRequest: setDeadline(own) }),
    ...(upload && { bodyLimit: upload.most }),
    ...(checkBody && { preValidation: checkBody }),
    ...(isKept && { onSend: app.idempotency.keep }),
    handler: upload ? keepingFiles(handler) : handler,
  }
}

const UNANSWERED =
  'it has idempotency, and nothing would keep its answers: register plinth/plugins/idempotency before the resources'

function createRouteSchema(
  { definition }: AnyDefined,
  response: JsonSchema,
  parts: RequestParts,
  { envelope, operationId, tags, ...settings }: RouteSettings,
) {
  const { security = settings.security } = definition
  const status = successStatusOf(envelope, definition)
  const isData = !isEventSchema(response as TSchema)
  return {
    operationId,
    summary: definition.summary,
    ...(definition.description && { description: definition.description }),
    ...(tags && { tags }),
    ...(security && { security }),
    ...parts,
    // Before Fastify sees it: what it refers to counts from the root.
    response: {
      [status]:
        status === NO_CONTENT
          ? { type: 'null' }
          : liftDefinitions(isData ? envelope.successSchema(response) : response),
    },
  }
}

type Compilers = Required<Pick<RouteOptions, 'validatorCompiler' | 'serializerCompiler'>>

const compilers: Compilers = {
  validatorCompiler: ({ schema, httpPart }) => compilePart(schema as JsonSchema, httpPart),
  serializerCompiler: ({ schema }) => compileSerializer(schema as JsonSchema),
}

/** In production, where what cannot be compiled was found before: a service of a thousand resources starts like one of ten. */
const lateCompilers: Compilers = {
  validatorCompiler: (part) =>
    compileLater(() => compilers.validatorCompiler(part) as ValidateFunction),
  serializerCompiler: compileSerializerLater,
}

/** What a form has is text, as what a query has. */
function compilersFor(strict: boolean, upload: UploadForm | undefined): Compilers {
  const chosen = strict ? compilers : lateCompilers
  if (upload?.form !== 'multipart') return chosen
  return {
    ...chosen,
    validatorCompiler: (part) => chosen.validatorCompiler({ ...part, httpPart: 'form' }),
  }
}

function compilePart(schema: JsonSchema, httpPart: string | undefined) {
  const bounded = boundNumbers(schema)
  return httpPart === 'body' ? compileExact(bounded) : compileText(bounded)
}

interface Handling extends RouteSettings {
  /** Milliseconds; 0: as long as it takes. */
  deadline: number
  /** Whether its answers are kept for the header `Idempotency-Key`. */
  isKept: boolean
}

function createHandler(
  name: string,
  resource: AnyDefined,
  merge: (request: FastifyRequest) => unknown,
  { app, envelope, async, access, hooked, ...own }: Handling,
): (request: FastifyRequest) => unknown {
  const { etag, lastModified } = resource.definition
  const { cache } = app.registry.of(resource)
  const tellsCaching = [cache, cache?.anonymous].some(
    (policy) => policy && policy.http !== undefined,
  )
  const status = successStatusOf(envelope, resource.definition)
  const isConditional = etag !== undefined || lastModified !== undefined
  const { responses } = app
  const writeEvents = createEventWriter(name, resource, { app, envelope })
  let answered = 0
  const answer: Answer<unknown> = {
    text: (found, { context }) => {
      const { request, reply } = ofRequest(context)
      reply.code(status)
      if (tellsCaching) tellCaching(reply, found, policyFor(cache, context.user) ?? {})
      if (status === NO_CONTENT) return reply.send()
      if (hooked.serialization)
        return asJson(envelope.success(fromJson(found.text), request), reply)
      return toSend(envelope.successText(found.text, request), reply)
    },
    data(value, { context }) {
      const { request, reply } = ofRequest(context)
      // A reply that `perform` has sent itself: to wait for it is to wait until it has been sent.
      if (isSent(reply)) return reply
      // A `Response` has a status of its own, `perform` may have set another.
      if (isStream(value)) {
        if (reply.statusCode === 200) reply.code(status)
        return endWith(reply, sendStream(value, resource, request, reply))
      }
      if (writeEvents && isAsyncIterable(value))
        return endWith(reply, writeEvents(value as never, context))
      // Always: only for this status is there a serializer, which leaves out what the schema does not list.
      reply.code(status)
      if (status === NO_CONTENT) return reply.send()
      return asJson(envelope.success(value ?? null, request), reply)
    },
    check(value, { context }) {
      if (isStream(value) || isSent(ofRequest(context).reply)) return value
      if (writeEvents && isAsyncIterable(value)) return value
      if (responses.strict || value == null || isAsyncIterable(value) || answered++ % LOOK === 0)
        responses.check(resource, name, value)
      return value
    },
    ...(isConditional && {
      precondition: ({ input, context }) => evaluatePreconditions(resource, input, context),
      unchanged: ({ context }) => ofRequest(context).reply.send(),
    }),
  }
  const asTask: Answer<unknown> = {
    ...answer,
    data(task, { context }) {
      const { request, reply } = ofRequest(context)
      // They are those of what the task will find.
      reply.removeHeader('etag').removeHeader('last-modified')
      return toSend(envelope.successText(JSON.stringify(task), request), reply)
    },
  }
  // Not async: what is cached is answered without a promise.
  return function serveResource(request) {
    assertReadableUrl(request)
    const context = contextOf(request)
    context.settleUser()
    const input = merge(request)
    const mode = request.headers[CACHE_MODE] === undefined ? 'cached' : cacheModeOf(request)
    const call = { resource, name, input, context, mode, access }
    if (!own.isKept) return perform(request, call)
    const wanted = { input, timeout: own.deadline }
    const { reply } = ofRequest(context)
    return app.idempotency.serve(request, reply, wanted, () => perform(request, call))
  }

  function perform(request: FastifyRequest, call: Parameters<typeof execute>[0]): unknown {
    if (request.headers[ASYNC] === undefined) return execute(call, answer)
    const problem = async
      ? problemOfTask(request)
      : 'neither it nor its module or service says async: true'
    if (problem) throw errors.TASK_REFUSED(name, problem)
    return execute({ ...call, task: taskOptionsOf(name, request) }, asTask)
  }
}

function ofRequest(context: Context): { request: FastifyRequest; reply: FastifyReply } {
  return context as Context & { request: FastifyRequest; reply: FastifyReply }
}

/** Ends `stream` when the answer is over, which may be another one: a hook has failed. */
function endWith<T extends object>({ raw }: FastifyReply, stream: T): T {
  raw.once('close', () => discard(stream))
  return stream
}

/** Where it is not strict, the first response and each so-manieth is looked at: to look at each would slow them down. */
const LOOK = 100

/** How a client wants the cache to be used: `refresh` or `cacheless`. */
export const CACHE_MODE = 'x-cache-mode'

/** Believed of other services alone, which have proven who they are: a cache that strangers go past protects nothing. */
function cacheModeOf({ headers, auth }: FastifyRequest): CacheMode {
  const wanted = headers[CACHE_MODE]
  if (auth?.app === undefined) return 'cached'
  return wanted === 'refresh' || wanted === 'cacheless' ? wanted : 'cached'
}
