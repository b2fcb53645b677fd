import type { FastifyInstance, FastifyRequest, FastifySchema } from 'fastify'
import { type TSchema, Type } from 'typebox'
import { errors } from '../errors.ts'
import { toResult } from '../task/tasks.ts'
import type { TaskRecord } from '../task/types.ts'
import { userOf } from './context.ts'
import type { Envelope } from './envelope.ts'
import { createErrorHandler } from './failure.ts'
import type { JsonSchema } from './schema.ts'
import { compileCoercing } from './validate.ts'

const Id = Type.Object({
  id: Type.String({ maxLength: 200, description: 'As the enqueuing call told' }),
})

const Result = Type.Object({
  task_id: Type.String(),
  is_completed: Type.Boolean(),
  state: Type.String({
    description: 'As last reported, else waiting, delayed, running, succeeded, failed or cancelled',
  }),
  message: Type.Union([Type.String(), Type.Null()], {
    description: 'While it runs as last reported, why it has failed, else null',
  }),
  data: Type.Unknown({ description: 'While it runs as last reported, then its result' }),
})

type TaskRequest = FastifyRequest<{ Params: { id: string } }>

/** `GET /tasks/:id` tells where a task is, `DELETE /tasks/:id` cancels it. Those of other users and of schedules are not there. */
export async function serveTasks(
  app: FastifyInstance,
  { envelope }: { envelope: Envelope },
): Promise<void> {
  app.setErrorHandler(createErrorHandler(envelope))
  // Fastify's own would make another Ajv for these two routes.
  app.setValidatorCompiler(({ schema }) => compileCoercing(schema as JsonSchema))

  app.get('/tasks/:id', { schema: schema('retrieve', 'Where a task is') }, async (request) =>
    envelope.success(toResult(await find(request as TaskRequest)), request),
  )
  app.delete('/tasks/:id', { schema: schema('cancel', 'Cancel a task') }, async (request) => {
    const { id } = await find(request as TaskRequest)
    await app.tasks.cancel(id)
    return envelope.success(await app.tasks.status(id), request)
  })

  async function find(request: TaskRequest): Promise<TaskRecord> {
    const record = await app.tasks.find(request.params.id)
    const { user, scheduled } = record.data
    const foreign = user !== null && user !== userOf(request)?.name
    // The ids of scheduled tasks can be worked out.
    if (foreign || scheduled) throw errors.TASK_NOT_FOUND(record.id)
    return record
  }

  function schema(name: string, summary: string): FastifySchema {
    return {
      operationId: `tasks.${name}`,
      summary,
      tags: ['Tasks'],
      params: Id,
      response: { 200: envelope.successSchema(Result as TSchema as JsonSchema) },
    } as FastifySchema
  }
}
