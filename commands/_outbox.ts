import type { FastifyInstance } from 'fastify'
import { errors } from '../src/errors.ts'
import type { TaskOutbox } from '../src/task/tasks.ts'

/**
 * The tasks of a service that are on their way to Redis. Of its own as three commands want it.
 *
 * @throws {PlinthError} DATABASE_MISSING where it has no database: there is no outbox then
 */
export function outboxOf({ tasks }: FastifyInstance): TaskOutbox {
  if (!tasks.outbox) throw errors.DATABASE_MISSING()
  return tasks.outbox
}
