import type { FastifyRequest } from 'fastify'
import { type Static, type TSchema, Type } from 'typebox'
import type { Duration } from '../duration.ts'
import { errors } from '../errors.ts'
import type { CompiledResource } from '../resource/compiled.ts'
import type { AnyDefined } from '../resource/contract.ts'
import { hasFiles, isStreamSchema } from '../resource/stream.ts'
import { hasSecrets, type JsonSchema } from '../schema/json-schema.ts'
import { compileExact, compileLater, toDetails } from '../schema/validate.ts'
import { readEnqueueOptions } from '../task/new-task.ts'
import { sendsBody } from './body.ts'

/** With this header, whatever it says, a request is not answered but becomes a task. */
export const ASYNC = 'x-async-task'

/** How such a task is enqueued: JSON, in ASCII. */
export const TASK_OPTIONS = 'x-task-options'

const Time = Type.Unsafe<Duration>({ type: ['number', 'string'] })

/** What may be said there: all that `enqueue` takes but the user, who is the one that asks. */
const Options = Type.Object(
  {
    delay: Type.Optional(Time),
    attempts: Type.Optional(Type.Number()),
    backoff: Type.Optional(
      Type.Object({
        type: Type.Union([Type.Literal('exponential'), Type.Literal('fixed')]),
        delay: Time,
        max: Type.Optional(Time),
      }),
    ),
    priority: Type.Optional(Type.Number()),
    key: Type.Optional(Type.String()),
    keyFor: Type.Optional(Time),
    unique: Type.Optional(Type.Boolean()),
    throttle: Type.Optional(Time),
    debounce: Type.Optional(Time),
    same: Type.Optional(Type.String()),
    queue: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
)
export type TaskOptionsHeader = Static<typeof Options>

const areOptions = compileLater(() => compileExact(Options as TSchema as JsonSchema))

/** What can only save work: anybody who may enqueue may say it. */
const OF_ANYBODY = ['key', 'unique']

/** Options as they are in the header. */
export function writeTaskOptions(options: TaskOptionsHeader): string {
  const inAscii = (one: string) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`
  return JSON.stringify(options).replaceAll(/[^\x20-\x7e]/g, inAscii)
}

/**
 * How `request` is to be enqueued.
 *
 * @throws {PlinthError} TASK_REFUSED where that cannot be, or is not for its client to say
 */
export function taskOptionsOf(name: string, request: FastifyRequest): TaskOptionsHeader {
  const header = request.headers[TASK_OPTIONS]
  if (header === undefined) return {}
  const refuse = (problem: string) => errors.TASK_REFUSED(name, `${TASK_OPTIONS} ${problem}`)
  const options = parse(header)
  if (!areOptions(options)) {
    const [first] = toDetails(areOptions.errors)
    throw refuse(`is not as it has to be: ${first?.path} ${first?.message}`)
  }
  const taken = options as TaskOptionsHeader
  readEnqueueOptions(taken, (problem) => refuse(`cannot be: ${problem}`))
  const { queue } = taken
  if (queue !== undefined && !request.server.tasks?.queues.has(queue))
    throw refuse(`names the queue ${queue}, which is not there`)
  const strange = Object.keys(taken).find((one) => !OF_ANYBODY.includes(one))
  if (strange !== undefined && request.auth?.app === undefined)
    throw refuse(`has ${strange}, which only other services may say, by a signature`)
  return taken
}

/** `undefined`: it is no JSON. */
function parse(header: string | string[]): unknown {
  try {
    return JSON.parse(String(header))
  } catch {
    return undefined
  }
}

/**
 * Whether requests for `resource` may become tasks.
 *
 * @param inherited what its module or service says
 * @throws {PlinthError} RESOURCE_INVALID where it says so itself and has a secret, which would be kept in Redis
 */
export function allowsTasks(
  name: string,
  definition: AnyDefined['definition'],
  { request, response }: CompiledResource,
  inherited: boolean,
): boolean {
  const { async = inherited } = definition
  if (!async || hasFiles(request) || isStreamSchema(response as TSchema)) return false
  if (!hasSecrets([request, response])) return true
  if (definition.async)
    throw errors.RESOURCE_INVALID(
      name,
      'it is async: true and has a secret, which Redis would keep',
    )
  return false
}

/** Why `request` cannot be repeated elsewhere: all of it has to be in what the task keeps. */
export function problemOfTask(request: FastifyRequest): string | undefined {
  const { method, headers } = request
  if (method === 'HEAD') return 'HEAD has no answer to tell its id in'
  const { 'content-type': type = '' } = headers
  return sendsBody(request) && !JSON_TYPE.test(type)
    ? 'its body is not application/json'
    : undefined
}

const JSON_TYPE = /^application\/json\s*(;|$)/i
