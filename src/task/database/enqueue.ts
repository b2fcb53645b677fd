import { sql } from 'kysely'
import { currentTransaction } from '../../database/current-transaction.ts'
import { isTransactionConflict, isUniqueViolation } from '../../database/violations.ts'
import { errors } from '../../errors.ts'
import { digest } from '../id.ts'
import type { NewTask, TaskTree } from '../types.ts'
import { type Added, type Keep, readOptions, toRow } from './record.ts'
import { ATTEMPTS, type TaskSteps } from './steps.ts'
import type { Db, TaskRow } from './tables.ts'

// So many rows, and about so many bytes, are written by one statement.
const ROWS = 300
const BYTES = 4_000_000

/** How tasks come into their table. */
export class TaskEnqueuer {
  readonly #steps: TaskSteps
  readonly #keep: Keep

  constructor(steps: TaskSteps, keep: Keep) {
    this.#steps = steps
    this.#keep = keep
  }

  /** The ids that count. @throws {PlinthError} TASK_KEY_REUSED */
  async add(tasks: readonly NewTask[]): Promise<string[]> {
    const [task] = tasks
    if (task && tasks.length === 1 && !isChecked(task)) {
      try {
        await this.#insert(this.#steps.here, [{ task }])
        this.#steps.changed({ over: [], ready: new Set([task.queue]) })
        return [task.id]
      } catch (error) {
        // Others were in the way: as for more of them, it is tried again, unless it is a part of something.
        if (!isTransactionConflict(error) || currentTransaction(this.#steps.db)) throw error
      }
    }
    return await this.#steps.change(async (db, { ready }) => {
      const ids: string[] = []
      for (const chunk of chunksOf(tasks)) {
        for (const task of chunk) await this.#letIn(db, task)
        await this.#insert(
          db,
          chunk.map((task) => ({ task })),
        )
        const meant = chunk.some(isChecked) ? await this.#idsOf(db, chunk) : chunk.map(idOf)
        ids.push(...meant)
        for (const [index, task] of chunk.entries())
          if (meant[index] !== task.id) await this.#putOff(db, task, meant[index] as string)
      }
      for (const { queue } of tasks) ready.add(queue)
      return ids
    })
  }

  /** What keeps one out that is throttled or debounced no longer does so when its time is over, or it runs. */
  async #letIn(db: Db, { queue, options }: NewTask): Promise<void> {
    const { unique, throttle, debounce } = options
    if (unique === undefined || (throttle ?? debounce) === undefined) return
    const over =
      throttle === undefined
        ? sql<boolean>`state <> 'delayed'`
        : sql<boolean>`enqueued <= ${this.#steps.now} - ${sql.lit(throttle)}`
    await sql`update ${this.#steps.by('uniq')} set uniq = null
      where uniq = ${digest(queue, unique)} and ${over}`.execute(db)
  }

  /** The one that waits is delayed anew, and runs with what the last one brings that it stands for. */
  async #putOff(db: Db, { data, options }: NewTask, id: string): Promise<void> {
    const { debounce } = options
    if (debounce === undefined) return
    const turn = this.#steps.in(debounce)
    await db
      .updateTable('plinth_task')
      .set({ data: JSON.stringify(data), turn, due: turn } as never)
      .where('id', '=', id)
      .where('state', '=', 'delayed')
      .execute()
  }

  /** @throws {PlinthError} TASK_EXISTS, TASK_KEY_REUSED */
  async addTree(tree: TaskTree): Promise<void> {
    const [root, ...children] = flatten(tree)
    await this.#steps.change(async (db, { ready }) => {
      const isThere = async (find: (id: string) => Promise<TaskRow | undefined>) => {
        const found = await find(tree.id)
        if (found) assertSame(tree, found)
        if (found) return true
        for (const { task } of children) if (await find(task.id)) throw errors.TASK_EXISTS(task.id)
        return false
      }
      if (await isThere((id) => this.#steps.read(db, id))) return
      try {
        await this.#insert(db, [root as Added, ...children], true)
      } catch (error) {
        if (!isUniqueViolation(error)) throw error
        // Somebody has been quicker by so little; what this one may read may be older.
        if (await isThere((id) => this.#steps.lock(db, 'id', id))) return
        throw error
      }
      for (const { task } of children) ready.add(task.queue)
    })
  }

  /** Lets `id` find the task `of`. */
  async alias(id: string, of: string): Promise<void> {
    const queue = of.slice(0, of.lastIndexOf('.'))
    const options = { attempts: 1, delay: 0, backoff: { type: 'fixed', delay: 0 } } as const
    const data = { resource: '', input: null, user: null, requestId: '' }
    const row = toRow({ task: { id, queue, data, options } }, this.#steps.now)
    const expires = this.#steps.in(this.#keep.failed.age)
    const same = { ...row, state: 'same', result: JSON.stringify(of), expires } as const
    await this.#ignoring(this.#steps.here, [same])
  }

  async #insert(db: Db, added: readonly Added[], isPlain = false): Promise<void> {
    for (const chunk of added.length === 1 ? [added] : chunksOf(added)) {
      const rows = chunk.map((one) => toRow(one, this.#steps.now))
      if (isPlain) await db.insertInto('plinth_task').values(rows).execute()
      else await this.#ignoring(db, rows)
    }
  }

  /** Inserts rows but for those that are there already, by their id or what makes them unique. */
  async #ignoring(
    db: Db,
    rows: readonly Readonly<Record<keyof ReturnType<typeof toRow>, unknown>>[],
  ): Promise<void> {
    const insert = db.insertInto('plinth_task').values(rows as never)
    const ignoring = this.#steps.isMysql
      ? insert.onDuplicateKeyUpdate({ id: sql`id` } as never)
      : insert.onConflict((conflict) => conflict.doNothing())
    await ignoring.execute()
  }

  /** The ids of the tasks that count, after theirs were inserted. @throws {PlinthError} TASK_KEY_REUSED */
  async #idsOf(db: Db, tasks: readonly NewTask[], attempt = 1): Promise<string[]> {
    const rows = tasks.map((task) => toRow({ task }, this.#steps.now))
    const uniqs = rows.flatMap(({ uniq }) => (uniq === null ? [] : [uniq]))
    const byId = await this.#current(db, 'id', rows.map(idOf))
    const byUniq = await this.#current(db, 'uniq', uniqs)
    const gone: NewTask[] = []
    const ids = tasks.map((task, index) => {
      const { uniq, id } = rows[index] as (typeof rows)[number]
      const found = (uniq === null ? undefined : byUniq.get(uniq)) ?? byId.get(id)
      if (!found) gone.push(task)
      if (found?.id === id) assertSame(task, found)
      return found?.state === 'same' ? JSON.parse(found.result as string) : (found?.id ?? id)
    })
    // What kept one of them out has ended in between.
    if (gone.length === 0 || attempt === ATTEMPTS) return ids
    await this.#insert(
      db,
      gone.map((task) => ({ task })),
    )
    return await this.#idsOf(db, tasks, attempt + 1)
  }

  /** Rows by a key, as they are now: a transaction may know them as they were when it began. */
  async #current(
    db: Db,
    key: 'id' | 'uniq',
    values: readonly string[],
  ): Promise<Map<string, Pick<TaskRow, 'id' | 'state' | 'options' | 'result'>>> {
    if (values.length === 0) return new Map()
    const lock = this.#steps.isMysql ? sql`lock in share mode` : sql``
    const { rows } = await sql<Pick<TaskRow, 'id' | 'uniq' | 'state' | 'options' | 'result'>>`
      select id, uniq, state, options, result from ${this.#steps.by(key)}
      where ${sql.ref(key)} in (${sql.join(values)}) ${lock}`.execute(db)
    return new Map(rows.map((row) => [row[key] as string, row]))
  }
}

const idOf = ({ id }: { id: string }) => id

/** Whether it may be that another task is meant. */
function isChecked({ options }: NewTask): boolean {
  return options.print !== undefined || options.unique !== undefined
}

/** @throws {PlinthError} TASK_KEY_REUSED where `row` is there under the same key for another input */
function assertSame({ id, data, options }: NewTask, row: Pick<TaskRow, 'options'>): void {
  if (options.print === undefined) return
  const { print } = readOptions(row)
  if (print && print !== options.print) throw errors.TASK_KEY_REUSED(data.resource, id)
}

/** All tasks of a tree, the root first. */
function flatten({ children, ...task }: TaskTree, parent?: string): Added[] {
  const below = children.flatMap((child) => flatten(child, task.id))
  return [{ task, parent, children: children.map(idOf) }, ...below]
}

/** So many as one statement may have. */
function* chunksOf<T extends NewTask | Added>(all: readonly T[]): Generator<T[]> {
  let chunk: T[] = []
  let bytes = 0
  for (const one of all) {
    const { data } = 'task' in one ? one.task : one
    const size = JSON.stringify(data).length
    if (chunk.length === ROWS || (chunk.length > 0 && bytes + size > BYTES)) {
      yield chunk
      chunk = []
      bytes = 0
    }
    chunk.push(one)
    bytes += size
  }
  if (chunk.length > 0) yield chunk
}
