import { type Envelope, NO_CONTENT, successStatusOf } from '../http/envelope.ts'
import type { UploadForm } from '../http/upload.ts'
import { callsOthers } from '../remote/api.ts'
import type { AnyDefined } from '../resource/contract.ts'
import { isEventSchema, isStreamSchema, type StreamSchema } from '../resource/stream.ts'
import { type JsonSchema, mapSchema } from '../schema/json-schema.ts'
import { conditionParameters, isConditional, isSafe, validatorHeaders } from './conditional.ts'
import { EXAMPLE_REQUEST, type FailureCode, ownFailures, type SharedFailures } from './failures.ts'
import type { ServedOperation } from './served.ts'
import type { MediaType, Operation, Parameter, ResponseObject } from './types.ts'

type Definition = AnyDefined['definition']

/** What an operation is completed with. */
export interface Completion {
  /** The form of answers. */
  envelope: Envelope
  failures: SharedFailures
  /** Whether it needs a user. */
  secured: boolean
}

/** Adds to `operation` what its schemas do not tell of the resource behind it. */
export function completeOperation(
  operation: Operation,
  served: ServedOperation,
  definition: Definition,
  { envelope, failures, secured }: Completion,
): void {
  completeRequest(operation, served, definition)
  completeSuccess(operation, definition, envelope)
  failures.add(operation, failuresOf(operation, served, definition, secured))
  Object.assign(operation.responses, ownFailures(definition.errors ?? [], envelope))
  addParts(operation, served, definition, envelope)
  if (isConditional(definition)) addConditions(operation, definition, envelope)
  if (served.route.config?.async) addTask(operation, envelope)
  const { idempotency } = served.route.config ?? {}
  if (idempotency) addIdempotency(operation, idempotency === 'required')
}

function completeRequest(
  operation: Operation,
  { route }: ServedOperation,
  { examples, consumes }: Definition,
): void {
  const { parameters, requestBody } = operation
  if (requestBody) requestBody.required = isNeeded(route.schema?.body as JsonSchema)
  if (consumes) operation.requestBody = withUploads(requestBody, consumes)
  const { upload } = route.config ?? {}
  if (upload && requestBody) {
    requestBody.content = contentOf(upload, json(requestBody).schema)
    return
  }
  const request = examples?.request as Record<string, unknown> | undefined
  if (!request) return
  for (const parameter of parameters ?? []) {
    if (parameter.name in request) parameter.example = request[parameter.name]
  }
  if (requestBody) json(requestBody).example = withoutParameters(request, parameters ?? [])
}

/** What is sent where there is a file; no example of one would say anything. */
function contentOf(
  { form, property, files }: UploadForm,
  schema: JsonSchema,
): Record<string, MediaType> {
  const tell = (part: JsonSchema) => (part.file === true ? BINARY : part)
  const types = form === 'file' ? (files.get(property)?.types ?? [BYTES]) : []
  const encoding = Array.from(files).flatMap(([name, { types }]) =>
    types ? [[name, { contentType: types.join(', ') }]] : [],
  )
  return {
    ...Object.fromEntries(types.map((type) => [type, { schema: BINARY }])),
    'multipart/form-data': {
      schema: mapSchema(schema, tell),
      ...(encoding.length > 0 && { encoding: Object.fromEntries(encoding) }),
    },
  }
}

const BYTES = 'application/octet-stream'
const BINARY: JsonSchema = { type: 'string', format: 'binary' }

function withUploads(
  body: Operation['requestBody'],
  consumes: NonNullable<Definition['consumes']>,
): NonNullable<Operation['requestBody']> {
  const uploads = Object.entries(consumes).map(([type, schema]) => [type, { schema }])
  return { required: true, content: { ...body?.content, ...Object.fromEntries(uploads) } }
}

// Fastify demands a body wherever there is a schema for one; a resource only if something in it is required.
function isNeeded({ type, required = [] }: JsonSchema): boolean {
  return type !== 'object' || required.length > 0
}

function withoutParameters(request: object, parameters: readonly Parameter[]): unknown {
  if (Array.isArray(request)) return request
  const names = parameters.map(({ name }) => name)
  return Object.fromEntries(Object.entries(request).filter(([name]) => !names.includes(name)))
}

function completeSuccess(operation: Operation, definition: Definition, envelope: Envelope): void {
  const { examples, response } = definition
  const status = successStatusOf(envelope, definition)
  const success = operation.responses[status] as ResponseObject
  success.description = response?.description ?? 'Success'
  if (status === NO_CONTENT) return
  if (response && isEventSchema(response)) {
    const { stream: _, events: __, ...schema } = json(success).schema
    success.description = response.description ?? EVENTS
    success.content = { 'text/event-stream': { schema } }
    return
  }
  if (response && isStreamSchema(response)) {
    success.content = contentOfStream(response)
    return
  }
  // @fastify/swagger takes a schema of null for no content; here it is the JSON text `null`.
  success.content ??= { 'application/json': { schema: { type: 'null' } } }
  if (examples && 'response' in examples) {
    json(success).example = envelope.success(examples.response, EXAMPLE_REQUEST)
  }
}

const EVENTS =
  'Server-sent events, one after the other until either side ends it: each of this form, with `data` as JSON. One that is called `failure` tells why there are no more'

function contentOfStream({ contentTypes = [BYTES] }: StreamSchema): Record<string, MediaType> {
  return Object.fromEntries(contentTypes.map((type) => [type, { schema: BINARY }]))
}

/** How a stream goes on where it was, or is read in parts. */
function addParts(
  operation: Operation,
  { method }: ServedOperation,
  definition: Definition,
  envelope: Envelope,
): void {
  const { events, ranges } = (definition.response ?? {}) as StreamSchema
  const add = (name: string, description: string) => {
    const header = { name, in: 'header', description, schema: { type: 'string' } } as const
    operation.parameters = [...(operation.parameters ?? []), header]
  }
  if (events) add('Last-Event-ID', 'The id of the last event that was read: it goes on from there')
  if (!ranges || method !== 'GET') return
  add('Range', 'The bytes that are wanted, `bytes=0-499`; of several ranges all is answered')
  add('If-Range', 'Only a part if it has this entity tag or HTTP date, else all of it')
  const tell = (description: string) => ({ description, schema: { type: 'string' } })
  const success = operation.responses[successStatusOf(envelope, definition)] as ResponseObject
  success.headers = { ...success.headers, 'Accept-Ranges': tell('`bytes` where it has parts') }
  operation.responses[206] = {
    description: 'The part that was asked for',
    headers: { 'Content-Range': tell('Which bytes they are, of how many') },
    content: contentOfStream(definition.response as StreamSchema),
  }
}

function json({ content }: { content?: Record<string, MediaType> }): MediaType {
  return content?.['application/json'] as MediaType
}

/** What the operation can fail with of its own. */
function failuresOf(
  { parameters, requestBody }: Operation,
  { scope, route }: ServedOperation,
  definition: Definition,
  secured: boolean,
): FailureCode[] {
  const isCalling = callsOthers(scope)
  const codes: Readonly<Record<FailureCode, unknown>> = {
    // Always: what nobody reads, an unknown query parameter at least, is refused.
    INVALID_REQUEST: true,
    UNAUTHENTICATED: secured,
    FORBIDDEN: secured,
    NOT_FOUND: parameters?.some((parameter) => parameter.in === 'path'),
    PRECONDITION_FAILED: isConditional(definition),
    PAYLOAD_TOO_LARGE: requestBody,
    UNSUPPORTED_MEDIA_TYPE: requestBody,
    RANGE_NOT_SATISFIABLE: (definition.response as StreamSchema | undefined)?.ranges,
    TOO_MANY_REQUESTS: route.config?.limits?.length,
    INTERNAL: true,
    UPSTREAM_REFUSED: isCalling,
    UPSTREAM_INVALID: isCalling,
    OVERLOADED: scope.hasDecorator('pressures'),
    DATABASE_BUSY: scope.hasDecorator('db'),
    UPSTREAM_UNAVAILABLE: isCalling,
    DEADLINE_EXCEEDED: route.config?.deadline,
    UPSTREAM_TIMEOUT: isCalling,
    STORAGE_FULL: route.config?.upload,
  }
  return (Object.keys(codes) as FailureCode[]).filter((code) => codes[code])
}

function addConditions(operation: Operation, definition: Definition, envelope: Envelope): void {
  operation.parameters = [...(operation.parameters ?? []), ...conditionParameters(definition)]
  if (!isSafe(definition)) return
  const headers = validatorHeaders(definition)
  const success = operation.responses[successStatusOf(envelope, definition)] as ResponseObject
  success.headers = { ...success.headers, ...headers }
  operation.responses[304] = {
    description: 'It is as the client knows it',
    headers: { ...headers },
  }
}

function addIdempotency(operation: Operation, required: boolean): void {
  const header = {
    name: 'Idempotency-Key',
    in: 'header',
    description:
      'A text in quotes, a new random one for each request that is no repetition: one that is gets the answer of the first, and nothing is done twice',
    required,
    schema: { type: 'string', maxLength: 257 },
  } as const
  operation.parameters = [...(operation.parameters ?? []), header]
}

const Task: JsonSchema = {
  type: 'object',
  properties: { task_id: { type: 'string', description: 'For `GET /tasks/{id}`' } },
  required: ['task_id'],
}

function addTask(operation: Operation, envelope: Envelope): void {
  const description =
    'Whatever it says: it is done as a task, and the answer is 200 with the id of that'
  const header = {
    name: 'X-Async-Task',
    in: 'header',
    description,
    schema: { type: 'string' },
  } as const
  const options = {
    name: 'X-Task-Options',
    in: 'header',
    description:
      'How the task is enqueued, as JSON: `key` makes one task of requests that have the same one; other services may say `delay`, `priority` and the rest, too',
    schema: { type: 'string' },
  } as const
  operation.parameters = [...(operation.parameters ?? []), header, options]
  const schema = envelope.successSchema(Task)
  const success = operation.responses[200] as ResponseObject | undefined
  if (success) json(success).schema = { anyOf: [json(success).schema, schema] }
  else
    operation.responses[200] = {
      description: 'With `X-Async-Task`: the task',
      content: { 'application/json': { schema } },
    }
}
