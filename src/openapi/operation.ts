import { type Envelope, NO_CONTENT, successStatusOf } from '../http/envelope.ts'
import type { UploadForm } from '../http/upload.ts'
import { callsOthers } from '../remote/api.ts'
import type { AnyDefined } from '../resource/contract.ts'
import { type JsonSchema, mapSchema } from '../resource/schema.ts'
import { isStreamSchema } from '../resource/stream.ts'
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
  if (isConditional(definition)) addConditions(operation, definition, envelope)
  if (served.route.config?.async) addTask(operation, envelope)
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
function contentOf({ form }: UploadForm, schema: JsonSchema): Record<string, MediaType> {
  const tell = (part: JsonSchema) => (part.file === true ? BINARY : part)
  return {
    ...(form === 'file' && { 'application/octet-stream': { schema: BINARY } }),
    'multipart/form-data': { schema: mapSchema(schema, tell) },
  }
}

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
  if (response && isStreamSchema(response)) {
    success.content = { 'application/octet-stream': { schema: BINARY } }
    return
  }
  // @fastify/swagger takes a schema of null for no content; here it is the JSON text `null`.
  success.content ??= { 'application/json': { schema: { type: 'null' } } }
  if (examples && 'response' in examples) {
    json(success).example = envelope.success(examples.response, EXAMPLE_REQUEST)
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
    TOO_MANY_REQUESTS: route.config?.limits?.length,
    INTERNAL: true,
    UPSTREAM_REFUSED: isCalling,
    UPSTREAM_INVALID: isCalling,
    OVERLOADED: scope.hasDecorator('pressures'),
    DATABASE_BUSY: scope.hasDecorator('db'),
    UPSTREAM_UNAVAILABLE: isCalling,
    DEADLINE_EXCEEDED: route.config?.deadline,
    UPSTREAM_TIMEOUT: isCalling,
  }
  return (Object.keys(codes) as FailureCode[]).filter((code) => codes[code])
}

function addConditions(operation: Operation, definition: Definition, envelope: Envelope): void {
  operation.parameters = [...(operation.parameters ?? []), ...conditionParameters(definition)]
  if (!isSafe(definition)) return
  const headers = validatorHeaders(definition)
  const success = operation.responses[successStatusOf(envelope, definition)] as ResponseObject
  success.headers = headers
  operation.responses[304] = {
    description: 'It is as the client knows it',
    headers: { ...headers },
  }
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
