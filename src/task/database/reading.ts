import type { QueueCounts, TaskRecord, TaskState } from '../types.ts'
import { isOver, toRecord } from './record.ts'
import type { TaskSteps } from './steps.ts'
import type { RowState } from './tables.ts'

/** What is told of tasks and queues. */
export class TaskReader {
  readonly #steps: TaskSteps

  constructor(steps: TaskSteps) {
    this.#steps = steps
  }

  async get(id: string): Promise<TaskRecord | undefined> {
    const row = await this.#steps.read(this.#steps.here, id)
    if (row?.state !== 'same') return row && toRecord(row)
    const other = await this.#steps.read(this.#steps.here, JSON.parse(row.result as string))
    return other && toRecord(other)
  }

  /** Where a task is, read by itself. */
  async stateOf(id: string): Promise<RowState | undefined> {
    const row = await this.#steps.db
      .selectFrom('plinth_task')
      .select('state')
      .where('id', '=', id)
      .executeTakeFirst()
    return row?.state
  }

  async list(queue: string, state: TaskState, start: number, end: number): Promise<TaskRecord[]> {
    const read = async (state: RowState, from: number, until: number) => {
      if (until < from) return []
      const isEnd = isOver(state)
      return await this.#steps.here
        .selectFrom('plinth_task')
        .selectAll()
        .where('queue', '=', queue)
        .where('state', '=', state)
        .orderBy('urgency', isEnd ? 'desc' : 'asc')
        .orderBy('turn', isEnd ? 'desc' : 'asc')
        .orderBy('position', isEnd ? 'desc' : 'asc')
        .limit(until - from + 1)
        .offset(from)
        .execute()
    }
    const rows = await read(state, start, end)
    if (state === 'waiting' && rows.length <= end - start) {
      const { waiting } = await this.#countStates(queue)
      rows.push(...(await read('blocked', Math.max(0, start - waiting), end - waiting)))
    }
    return rows.map(toRecord)
  }

  async counts(queue: string): Promise<QueueCounts> {
    const of = await this.#countStates(queue)
    const known = await this.#steps.here
      .selectFrom('plinth_task_queue')
      .select('paused')
      .where('name', '=', queue)
      .executeTakeFirst()
    return {
      waiting: of.waiting + of.blocked,
      delayed: of.delayed,
      running: of.running,
      succeeded: of.succeeded,
      failed: of.failed + of.cancelled,
      crashed: of.crashed,
      paused: known?.paused === 1,
    }
  }

  async #countStates(queue: string): Promise<Record<Exclude<RowState, 'same'>, number>> {
    const rows = await this.#steps.here
      .selectFrom('plinth_task')
      .select(['state', ({ fn }) => fn.countAll<number>().as('count')])
      .where('queue', '=', queue)
      .groupBy('state')
      .execute()
    return {
      ...{
        waiting: 0,
        blocked: 0,
        delayed: 0,
        running: 0,
        succeeded: 0,
        failed: 0,
        crashed: 0,
        cancelled: 0,
      },
      ...Object.fromEntries(rows.map(({ state, count }) => [state, count])),
    }
  }

  async queues(): Promise<string[]> {
    const used = await this.#steps.here
      .selectFrom('plinth_task')
      .select('queue')
      .distinct()
      .execute()
    const known = await this.#steps.here.selectFrom('plinth_task_queue').select('name').execute()
    const names = [...used.map(({ queue }) => queue), ...known.map(({ name }) => name)]
    return [...new Set(names)].toSorted()
  }
}
