import { errors } from '../errors.ts'
import type { Message } from './relay.ts'
import type { TaskDriver, TaskTree } from './types.ts'

/**
 * Adds the tasks of an outbox, under the ids that they have. One that was to be delayed has waited in the outbox already.
 *
 * @throws {PlinthError} TASK_INVALID where a message is no task, TASKS_UNAVAILABLE
 */
export async function deliverTasks(
  driver: TaskDriver,
  messages: readonly Message[],
  now = Date.now(),
): Promise<void> {
  const trees = messages.map((message) => toTree(message, now))
  const single = trees.filter(({ children }) => children.length === 0)
  const ids = single.length > 0 ? await driver.add(single) : []
  for (const [index, { id }] of single.entries()) {
    // Its id was told when it was enqueued; by now another task is meant.
    const other = ids[index]
    if (other !== undefined && other !== id) await driver.alias(id, other)
  }
  for (const tree of trees) if (tree.children.length > 0) await driver.addTree(tree)
}

function toTree({ payload, created_at }: Message, now: number): TaskTree {
  if (!isTree(payload)) throw errors.TASK_INVALID('of the outbox', 'it is no task')
  const waited = Math.max(0, now - Date.parse(created_at))
  return shorten(payload, waited)
}

function shorten({ options, children, ...task }: TaskTree, waited: number): TaskTree {
  return {
    ...task,
    options: { ...options, delay: Math.max(0, options.delay - waited) },
    children: children.map((child) => shorten(child, waited)),
  }
}

function isTree(value: unknown): value is TaskTree {
  const { id, queue, data, options, children } = (value ?? {}) as Partial<TaskTree>
  return (
    [id, queue, data?.resource].every((text) => typeof text === 'string') &&
    typeof options?.delay === 'number' &&
    Array.isArray(children) &&
    children.every(isTree)
  )
}
