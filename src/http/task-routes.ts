import type { FastifyInstance, FastifyRequest, FastifySchema } from 'fastify'
import { type TSchema, Type } from 'typebox'
import { errors } from '../errors.ts'
import { userOf } from '../resource/context.ts'
import type { JsonSchema } from '../schema/json-schema.ts'
import { compileSerializerLater } from '../schema/serialize.ts'
import { compileExact, compileLater } from '../schema/validate.ts'
import { isRandomId } from '../task/id.ts'
import { type Tasks, toResult } from '../task/tasks.ts'
import type { TaskRecord } from '../task/types.ts'
import type { Envelope } from './envelope.ts'
import { createErrorHandler } from './error-handler.ts'

const Id = Type.Object({
  id: Type.String({ maxLength: 200, description: 'As the enqueuing call told' }),
})

/** What is answered of a task. */
export const TaskAnswer = Type.Object({
  task_id: Type.String(),
  is_completed: Type.Boolean(),
  state: Type.String({
    description:
      'As last reported, else waiting, delayed, running, succeeded, failed, crashed or cancelled',
  }),
  message: Type.Union([Type.String(), Type.Null()], {
    description: 'While it runs as last reported, why it has failed, else null',
  }),
  data: Type.Unknown({ description: 'While it runs as last reported, then its result' }),
})

type TaskRequest = FastifyRequest<{ Params: { id: string } }>

interface ServedTasks {
  /** What the app has them as. */
  readonly name: string
  readonly path: string
  readonly tasks: Tasks
  readonly envelope: Envelope
}

/**
 * `GET PATH/:id` tells where a task is, `DELETE PATH/:id` cancels it. Those of other users are not there, nor are those of
 * nobody whose ids can be worked out.
 */
export function serveTasks(
  app: FastifyInstance,
  { name, path, tasks, envelope }: ServedTasks,
): void {
  // On the app itself, not in a context of their own: hooks that are added later find out who asks here, too.
  const own = {
    config: { kit: 'tasks' } as const,
    errorHandler: createErrorHandler(envelope),
    // Fastify's own would make another Ajv for these two routes.
    validatorCompiler: ({ schema }: { schema: unknown }) =>
      compileLater(() => compileExact(schema as JsonSchema)),
    serializerCompiler: compileSerializerLater,
  }
  const retrieve = { ...own, schema: schema('retrieve', 'Where a task is') }
  app.get(`${path}/:id`, retrieve, async (request) =>
    envelope.success(toResult(await find(request as TaskRequest)), request),
  )
  const cancel = { ...own, schema: schema('cancel', 'Cancel a task') }
  app.delete(`${path}/:id`, cancel, async (request) => {
    const { id } = await find(request as TaskRequest)
    await tasks.cancel(id)
    return envelope.success(await tasks.status(id), request)
  })

  async function find(request: TaskRequest): Promise<TaskRecord> {
    const asks = userOf(app, request)
    const record = await tasks.find(request.params.id)
    const { user, scheduled } = record.data
    const isOurs = user === null ? !scheduled && isRandomId(record.id) : user === asks?.id
    if (!isOurs) throw errors.TASK_NOT_FOUND(record.id)
    return record
  }

  function schema(operation: string, summary: string): FastifySchema {
    return {
      operationId: `plinth.${name}.${operation}`,
      summary,
      tags: ['Tasks'],
      params: Id,
      response: { 200: envelope.successSchema(TaskAnswer as TSchema as JsonSchema) },
    } as FastifySchema
  }
}
