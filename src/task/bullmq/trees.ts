import { errors } from '../../errors.ts'
import type { TaskTree } from '../types.ts'
import type { TaskConnection } from './connection.ts'
import { queuesOf, toFlow } from './jobs.ts'
import type { KeptTasks } from './kept.ts'
import type { Queues } from './queues.ts'

// So often somebody else may add one of the same tasks in the very moment.
const TRIES = 10

/**
 * Adds trees, all of one or nothing: BullMQ would hang one whose child is there already below it, for ever. One after the
 * other, over a connection of its own: Redis watches for the whole connection.
 */
export class Trees {
  readonly #connection: TaskConnection
  readonly #queues: Queues
  readonly #kept: KeptTasks
  readonly #prefix: string
  #last: Promise<unknown> = Promise.resolve()

  constructor(connection: TaskConnection, queues: Queues, kept: KeptTasks, prefix: string) {
    this.#connection = connection
    this.#queues = queues
    this.#kept = kept
    this.#prefix = prefix
  }

  /** @throws {PlinthError} TASK_EXISTS, TASK_KEY_REUSED, TASKS_UNAVAILABLE */
  async add(tree: TaskTree): Promise<void> {
    const added = this.#last.then(() => this.#connection.use(() => this.#add(tree)))
    this.#last = added.catch(() => {})
    await added
  }

  async #add(tree: TaskTree): Promise<void> {
    for (const queue of queuesOf(tree)) await this.#queues.ensure(queue)
    const flow = await this.#queues.flow()
    for (let tries = 1; await this.#isNew(tree); tries++) {
      try {
        await flow.add(toFlow(tree))
        return
      } catch (error) {
        // It has no other word for a transaction that was called off as a task that it watches was added meanwhile.
        if (!(error instanceof TypeError) || tries === TRIES) throw error
      }
    }
  }

  /** Whether it is to be added; until then no task of it can be added by others. */
  async #isNew(tree: TaskTree): Promise<boolean> {
    const { client } = this.#connection
    const tasks = tasksOf(tree)
    const keys = tasks.map(({ queue, id }) => `${this.#prefix}:${queue}:${id}`)
    await client.watch(...keys)
    const found = await Promise.all(
      tasks.map(async ({ id }, index) => {
        const exists = await client.exists(keys[index] as string, this.#kept.key(id))
        return exists > 0
      }),
    )
    const there = tasks[found.indexOf(true)]
    if (!there) return true
    await client.unwatch()
    if (there !== tree) throw errors.TASK_EXISTS(there.id)
    if (tree.options.print !== undefined) await this.#kept.isThere(tree)
    return false
  }
}

/** All tasks of a tree, itself first. */
function tasksOf(tree: TaskTree): TaskTree[] {
  return [tree, ...tree.children.flatMap(tasksOf)]
}
