import { type Envelope, successStatusOf } from '../http/envelope.ts'
import type { AnyDefined } from '../resource/contract.ts'
import type { JsonSchema } from '../resource/schema.ts'
import { conditionParameters, isConditional, isSafe, validatorHeaders } from './conditional.ts'
import { addFailures, EXAMPLE_REQUEST, ownFailures } from './failures.ts'
import type { ServedOperation } from './served.ts'
import type { MediaType, Operation, Parameter, ResponseObject } from './types.ts'

type Definition = AnyDefined['definition']

/** Adds to `operation` what its schemas do not tell of the resource behind it. */
export function completeOperation(
  operation: Operation,
  served: ServedOperation,
  definition: Definition,
  envelope: Envelope,
): void {
  completeRequest(operation, served, definition)
  completeSuccess(operation, definition, envelope)
  addFailures(operation, failuresOf(operation, served, definition), envelope)
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
  const request = examples?.request as Record<string, unknown> | undefined
  if (!request) return
  for (const parameter of parameters ?? []) {
    if (parameter.name in request) parameter.example = request[parameter.name]
  }
  if (requestBody) json(requestBody).example = withoutParameters(request, parameters ?? [])
}

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
  const success = operation.responses[successStatusOf(envelope, definition)] as ResponseObject
  success.description = response?.description ?? 'Success'
  // @fastify/swagger takes a schema of null for no content; here it is the JSON text `null`.
  success.content ??= { 'application/json': { schema: { type: 'null' } } }
  if (examples && 'response' in examples) {
    json(success).example = envelope.success(examples.response, EXAMPLE_REQUEST)
  }
}

function json({ content }: { content?: Record<string, MediaType> }): MediaType {
  return content?.['application/json'] as MediaType
}

/** The statuses of the failures that the operation can answer of its own. */
function failuresOf(
  { parameters, requestBody }: Operation,
  { scope, route }: ServedOperation,
  definition: Definition,
): number[] {
  return [
    // Always: what nobody reads, an unknown query parameter at least, is refused.
    400,
    ...(parameters?.some((parameter) => parameter.in === 'path') ? [404] : []),
    ...(isConditional(definition) ? [412] : []),
    ...(requestBody ? [413, 415] : []),
    ...(route.config?.limits?.length ? [429] : []),
    500,
    ...(scope.hasDecorator('db') ? [503] : []),
    ...(route.config?.deadline ? [504] : []),
  ]
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
  operation.parameters = [...(operation.parameters ?? []), header]
  const schema = envelope.successSchema(Task)
  const success = operation.responses[200] as ResponseObject | undefined
  if (success) json(success).schema = { anyOf: [json(success).schema, schema] }
  else
    operation.responses[200] = {
      description: 'With `X-Async-Task`: the task',
      content: { 'application/json': { schema } },
    }
}
