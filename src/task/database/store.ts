import { setTimeout as sleep } from 'node:timers/promises'
import { type Kysely, type RawBuilder, sql } from 'kysely'
import { afterCommit, currentTransaction } from '../../database/current-transaction.ts'
import { dialectOf } from '../../database/portable.ts'
import { inTransaction } from '../../database/transaction.ts'
import { isTransactionConflict, isUniqueViolation } from '../../database/violations.ts'
import { errors } from '../../errors.ts'
import { cancelled, childFailed, type Failure, failureOf } from '../errors.ts'
import { digest } from '../id.ts'
import type { MadeTables } from '../made-tables.ts'
import type {
  NewTask,
  Progress,
  QueueCounts,
  StartLimit,
  TaskRecord,
  TaskState,
  TaskTree,
} from '../types.ts'
import {
  type Added,
  type End,
  failureKey,
  isOver,
  type Keep,
  type Kept,
  keptOf,
  readData,
  readOptions,
  toRecord,
  toRow,
  withDeath,
} from './record.ts'
import type { ClaimedRow, DatabaseRun, RunTable } from './run.ts'
import {
  type Db,
  nowOf,
  type RowState,
  type TaskRow,
  type TaskTables,
  tablesOfTasks,
} from './tables.ts'

/** What a try has come to. `back`: it has not been one, and the next is before others. */
export type Outcome =
  | { readonly state: 'succeeded'; readonly result: string | null }
  | { readonly state: 'failed'; readonly failure: Failure }
  | { readonly state: 'again'; readonly delay: number; readonly counts: boolean }
  | { readonly state: 'back' }

/** Who is told what has happened to tasks, once that is committed. */
export interface Listener {
  /** It has ended, or is there no longer. */
  onOver(id: string): void
  /** Something may be done in a queue. */
  onReady(queue: string): void
  onError(error: unknown): void
}

/** What a transaction has done. */
interface Effects {
  over: { id: string; state?: End; kept?: Kept }[]
  ready: Set<string>
}

/** What may be done in a queue. */
export interface Waiting {
  queue: string
  /** Whether something waits. */
  waits: boolean
  /** Milliseconds until the first one is due that is delayed. */
  due: number
}

export interface ClaimOptions {
  worker: string
  /** How long it is the worker's without a sign of life, in ms. */
  lease: number
  count: number
  limit: StartLimit | undefined
  /** How many run at once, in all processes. */
  concurrency: number | undefined
  /** Whether one may begin by which processes may have died. */
  allowsSuspect: boolean
}

export interface Claimed {
  rows: ClaimedRow[]
  /** Milliseconds until another one may start, where there is a limit. */
  wait: number
}

// So many rows, and about so many bytes, are written by one statement.
const ROWS = 300
const BYTES = 4_000_000
/** How often a transaction is tried that is in the way of another. */
const ATTEMPTS = 8
/** After so many deaths a task may be what ends processes. It runs beside no other such one then: of two it would be unknown which. */
export const SUSPECT = 2
// When it is looked at again, in ms, at most.
const SUSPECT_DELAY = 1000
// How many are looked through at once.
const PAGE = 500
// How often what is kept no longer is looked for, in ms.
const SWEEP = 10_000

const RETRIED: readonly RowState[] = ['failed', 'crashed', 'cancelled']

const CLAIMED = [
  ...(['position', 'id', 'queue', 'parent', 'data', 'options'] as const),
  ...(['attempts_made', 'crashes', 'cancelled', 'due', 'died', 'worker', 'started'] as const),
]

/** The tasks of a database: each of its methods is one step, however many processes take it. */
export class TaskStore implements RunTable {
  readonly #db: Db
  readonly #tables: MadeTables<TaskTables>
  readonly #now: RawBuilder<number>
  readonly #isMysql: boolean
  readonly #keep: Keep
  readonly #listener: Listener
  /** By what is kept together: how many have ended since there was a look at how many there are. */
  readonly #ended = new Map<string, { kept: Kept; state: End; ends: number }>()
  /** When it is looked for what is kept no longer, by `performance.now()`. */
  #nextSweep = 0
  // MariaDB knows these words from 10.6 on, MySQL from 8.0 on.
  #skips = true

  constructor(db: Kysely<never>, keep: Keep, listener: Listener) {
    this.#db = db as unknown as Db
    this.#tables = tablesOfTasks(this.#db)
    this.#now = nowOf(this.#db)
    this.#isMysql = dialectOf(this.#db) === 'mysql'
    this.#keep = keep
    this.#listener = listener
  }

  /** @throws {PlinthError} TASK_TABLES_MISSING */
  async prepare(): Promise<void> {
    await this.#tables.prepare()
  }

  /** The ids that count. @throws {PlinthError} TASK_KEY_REUSED */
  async add(tasks: readonly NewTask[]): Promise<string[]> {
    const [task] = tasks
    if (task && tasks.length === 1 && !isChecked(task)) {
      try {
        await this.#insert(this.#here, [{ task }])
        this.#changed({ over: [], ready: new Set([task.queue]) })
        return [task.id]
      } catch (error) {
        // Others were in the way: as for more of them, it is tried again, unless it is a part of something.
        if (!isTransactionConflict(error) || currentTransaction(this.#db)) throw error
      }
    }
    return await this.#change(async (db, { ready }) => {
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
        : sql<boolean>`enqueued <= ${this.#now} - ${sql.lit(throttle)}`
    await sql`update ${this.#tasksBy('uniq')} set uniq = null
      where uniq = ${digest(queue, unique)} and ${over}`.execute(db)
  }

  /** The one that waits is delayed anew, and runs with what the last one brings that it stands for. */
  async #putOff(db: Db, { data, options }: NewTask, id: string): Promise<void> {
    const { debounce } = options
    if (debounce === undefined) return
    const turn = this.#in(debounce)
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
    await this.#change(async (db, { ready }) => {
      const isThere = async (find: (id: string) => Promise<TaskRow | undefined>) => {
        const found = await find(tree.id)
        if (found) assertSame(tree, found)
        if (found) return true
        for (const { task } of children) if (await find(task.id)) throw errors.TASK_EXISTS(task.id)
        return false
      }
      if (await isThere((id) => this.#read(db, id))) return
      try {
        await this.#insert(db, [root as Added, ...children], true)
      } catch (error) {
        if (!isUniqueViolation(error)) throw error
        // Somebody has been quicker by so little; what this one may read may be older.
        if (await isThere((id) => this.#lock(db, 'id', id))) return
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
    const row = toRow({ task: { id, queue, data, options } }, this.#now)
    const expires = this.#in(this.#keep.failed.age)
    const same = { ...row, state: 'same', result: JSON.stringify(of), expires } as const
    await this.#ignoring(this.#here, [same])
  }

  async get(id: string): Promise<TaskRecord | undefined> {
    const row = await this.#read(this.#here, id)
    if (row?.state !== 'same') return row && toRecord(row)
    const other = await this.#read(this.#here, JSON.parse(row.result as string))
    return other && toRecord(other)
  }

  /** Where a task is, read by itself. */
  async stateOf(id: string): Promise<RowState | undefined> {
    const row = await this.#db
      .selectFrom('plinth_task')
      .select('state')
      .where('id', '=', id)
      .executeTakeFirst()
    return row?.state
  }

  /** The task that is cancelled by this, and whether it still runs. */
  async cancel(id: string): Promise<{ row: TaskRow; runs: boolean } | undefined> {
    return await this.#change(async (db, effects) => {
      const row = await this.#lock(db, 'id', id)
      if (!row || isOver(row.state)) return undefined
      await this.#set(db, row.position, { cancelled: 1 })
      const runs = row.state === 'running'
      if (!runs) await this.#end(db, effects, row, 'cancelled', { failure: cancelled(id) })
      return { row, runs }
    })
  }

  /** Puts one back that has failed or was cancelled; what it waits for was put back before. */
  async retry(id: string): Promise<boolean> {
    return await this.#change(async (db, { ready }) => {
      const row = await this.#lock(db, 'id', id)
      if (!row || !RETRIED.includes(row.state)) return false
      await this.#set(db, row.position, {
        ...{ attempts_made: 0, crashes: 0, died: null, cancelled: 0, worker: null, failure: null },
        ...{ finished: null, kept_with: null, expires: null, held: null },
        ...(isComplete(row) ? this.#atOnce(row) : this.#blocked()),
      })
      ready.add(row.queue)
      return true
    })
  }

  async remove(id: string): Promise<boolean> {
    return await this.#change(async (db, effects) => {
      const row = await this.#lock(db, 'id', id)
      if (!row || row.state === 'running' || row.state === 'same') return false
      await db.deleteFrom('plinth_task').where('position', '=', row.position).execute()
      effects.over.push({ id })
      if (row.parent !== null) await this.#fulfil(db, effects, row, { [id]: null })
      return true
    })
  }

  async list(queue: string, state: TaskState, start: number, end: number): Promise<TaskRecord[]> {
    const read = async (state: RowState, from: number, until: number) => {
      if (until < from) return []
      const isEnd = isOver(state)
      return await this.#here
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
    const known = await this.#here
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
    const rows = await this.#here
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
    const used = await this.#here.selectFrom('plinth_task').select('queue').distinct().execute()
    const known = await this.#here.selectFrom('plinth_task_queue').select('name').execute()
    const names = [...used.map(({ queue }) => queue), ...known.map(({ name }) => name)]
    return [...new Set(names)].toSorted()
  }

  async pause(queue: string, paused: boolean): Promise<void> {
    await this.#knowQueue(queue)
    await this.#here
      .updateTable('plinth_task_queue')
      .set({ paused: paused ? 1 : 0 })
      .where('name', '=', queue)
      .execute()
    if (!paused) this.#changed({ over: [], ready: new Set([queue]) })
  }

  async #knowQueue(name: string): Promise<void> {
    const row = { name, paused: 0 }
    const insert = this.#here.insertInto('plinth_task_queue').values(row)
    const ignoring = this.#isMysql
      ? insert.onDuplicateKeyUpdate({ name: sql`name` })
      : insert.onConflict((conflict) => conflict.doNothing())
    await ignoring.execute()
  }

  async progress(position: number, progress: Progress): Promise<void> {
    await this.#set(this.#here, position, { progress: JSON.stringify(progress) })
  }

  async results(position: number): Promise<Record<string, unknown>> {
    const row = await this.#here
      .selectFrom('plinth_task')
      .select('results')
      .where('position', '=', position)
      .executeTakeFirst()
    return JSON.parse(row?.results ?? '{}')
  }

  /** What there may be to do in queues: a look that locks nothing. */
  async look(queues: readonly string[]): Promise<Waiting[]> {
    const parts = queues.flatMap((queue) => {
      const first = (state: RowState) => sql`
        select * from (
          select ${sql.lit(state)} as state, queue, turn - ${this.#now} as due from ${this.#tasksBy('turn')}
          where queue = ${queue} and state = ${sql.lit(state)} order by urgency, turn limit 1
        ) as ${sql.ref(`${state}_${queue}`)}`
      return [first('waiting'), first('delayed')]
    })
    const { rows } = await sql<{ state: RowState; queue: string; due: number }>`
      ${sql.join(parts, sql` union all `)}`.execute(this.#db)
    return queues.map((queue) => {
      const own = rows.filter((row) => row.queue === queue)
      const due = own.find(({ state }) => state === 'delayed')?.due ?? Number.POSITIVE_INFINITY
      return { queue, waits: own.some(({ state }) => state === 'waiting'), due }
    })
  }

  /** Makes tasks of a queue a worker's: those that are next, and may start now. */
  async claim(queue: string, options: ClaimOptions): Promise<Claimed> {
    const { worker, lease, limit, concurrency } = options
    if (limit || concurrency !== undefined) await this.#knowQueue(queue)
    return await this.#alone(async (db) => {
      const places = concurrency && (await this.#placesIn(db, queue, concurrency))
      const window = limit && (await this.#openWindow(db, queue, limit))
      const free = Math.min(options.count, window?.free ?? options.count, places ?? options.count)
      const wait = window?.wait ?? 0
      if (free === 0) return { rows: [], wait }
      await this.#promote(db, queue)
      const next = await this.#next(db, queue, free)
      const { begin, later } = part(next, options.allowsSuspect)
      if (later.length > 0)
        await this.#setAll(db, later, {
          ...this.#delayed(Math.ceil(Math.random() * SUSPECT_DELAY)),
        })
      if (begin.length > 0)
        await this.#setAll(db, begin, {
          ...{ state: 'running', urgency: 0, turn: this.#in(lease), worker, started: this.#now },
        })
      if (window && begin.length > 0) await window.start(begin.length)
      return { rows: begin, wait: begin.length > 0 ? 0 : wait }
    })
  }

  /** Lets those wait that were delayed until now. */
  async #promote(db: Db, queue: string): Promise<void> {
    const due = sql<boolean>`state = 'delayed' and urgency = 0 and turn <= ${this.#now}`
    const rows = await this.#pick(db, ['position'], queue, due, PAGE)
    if (rows.length > 0) await this.#setAll(db, rows, { state: 'waiting', urgency: sql`priority` })
  }

  async #next(db: Db, queue: string, count: number): Promise<ClaimedRow[]> {
    const runs = sql<boolean>`state = 'waiting' and not exists (
      select 1 from ${sql.table('plinth_task_queue')} as q where q.name = ${queue} and q.paused = 1)`
    return await this.#pick(db, CLAIMED, queue, runs, count)
  }

  /**
   * Locks the first rows of a queue of which something is true: of those that others have locked it takes none, and waits for
   * none. Where the words for that are not known, rows are chosen first, and locked in the order of their key.
   */
  async #pick<C extends keyof TaskRow>(
    db: Db,
    columns: readonly C[],
    queue: string,
    is: RawBuilder<boolean>,
    count: number,
  ): Promise<Pick<TaskRow, C | 'position'>[]> {
    const list = sql.join(columns.map((column) => sql.ref(column)))
    const first = (what: RawBuilder<unknown>, lock: RawBuilder<unknown>) =>
      sql<Pick<TaskRow, C | 'position'>>`
        select ${what} from ${this.#tasksBy('turn')} where queue = ${queue} and ${is}
        order by urgency, turn, position limit ${sql.lit(count)} ${lock}`.execute(db)
    if (!this.#isMysql) return (await first(list, sql``)).rows
    if (this.#skips) {
      try {
        return (await first(list, sql`for update skip locked`)).rows
      } catch (error) {
        if ((error as { code?: unknown }).code !== 'ER_PARSE_ERROR') throw error
        this.#skips = false
      }
    }
    const { rows } = await first(sql`position`, sql``)
    if (rows.length === 0) return []
    const chosen = sql.join(rows.map(({ position }) => position).toSorted((a, b) => a - b))
    const locked = await sql<Pick<TaskRow, C | 'position'>>`
      select ${list} from ${this.#tasksBy('primary')} where position in (${chosen}) and ${is}
      order by position for update`.execute(db)
    return locked.rows
  }

  /** How many more of a queue may run now. Who asks at the same time waits for this one. */
  async #placesIn(db: Db, queue: string, concurrency: number): Promise<number> {
    const lock = this.#isMysql ? sql`for update` : sql``
    await sql`select name from ${sql.table('plinth_task_queue')} where name = ${queue} ${lock}`.execute(
      db,
    )
    const { running } = await db
      .selectFrom('plinth_task')
      .select(({ fn }) => fn.countAll<number>().as('running'))
      .where('queue', '=', queue)
      .where('state', '=', 'running')
      .executeTakeFirstOrThrow()
    return Math.max(0, concurrency - running)
  }

  /** How many of a queue may start now, by when the last ones started. */
  async #openWindow(db: Db, queue: string, { max, duration }: StartLimit) {
    const lock = this.#isMysql ? sql`for update` : sql``
    const { rows } = await sql<{ starts: string | null; now: number }>`
      select starts, ${this.#now} as now from ${sql.table('plinth_task_queue')}
      where name = ${queue} ${lock}`.execute(db)
    const { starts, now } = rows[0] ?? { starts: null, now: 0 }
    const all: [at: number, count: number][] = JSON.parse(starts ?? '[]')
    const recent = all.filter(([at]) => at > now - duration)
    const free = Math.max(0, max - recent.reduce((sum, [, count]) => sum + count, 0))
    return {
      free,
      wait: free > 0 ? 0 : Math.max(1, (recent[0]?.[0] ?? now) + duration - now),
      start: async (count: number) => {
        const starts = JSON.stringify([...recent, [now, count]])
        await db
          .updateTable('plinth_task_queue')
          .set({ starts })
          .where('name', '=', queue)
          .execute()
      },
    }
  }

  /** Tells that a worker lives, and which of its tasks were cancelled. */
  async beat(runs: readonly DatabaseRun[], worker: string, lease?: number): Promise<Set<number>> {
    const positions = sql.join(runs.map(({ row }) => row.position))
    const which = sql`${this.#tasksBy('primary')}`
    if (lease !== undefined)
      await sql`update ${which} set turn = ${this.#in(lease)}
        where position in (${positions}) and worker = ${worker} and state = 'running'`.execute(
        this.#db,
      )
    const { rows } = await sql<{ position: number }>`
      select position from ${which} where position in (${positions}) and cancelled = 1`.execute(
      this.#db,
    )
    return new Set(rows.map(({ position }) => position))
  }

  /**
   * Takes back the tasks of workers that have given no sign of life for so long.
   *
   * @param own those that run in this process
   * @returns those that are given up by that: too many processes have died that ran them
   */
  async recover(
    queue: string,
    maxCrashes: number,
    own: ReadonlySet<number>,
  ): Promise<ClaimedRow[]> {
    const dead = sql<boolean>`state = 'running' and urgency = 0 and turn < ${this.#now}`
    return await this.#change(async (db, effects) => {
      const rows = await this.#pick(db, CLAIMED, queue, dead, PAGE)
      const crashed: ClaimedRow[] = []
      for (const row of rows.filter(({ position }) => !own.has(position))) {
        const { id, position } = row
        const crashes = row.crashes + 1
        const died = JSON.stringify(withDeath(row))
        await this.#set(db, position, { died })
        if (row.cancelled) {
          await this.#end(db, effects, row, 'cancelled', { failure: cancelled(id), counts: true })
        } else if (crashes >= maxCrashes) {
          const failure = failureOf(errors.TASK_CRASHED(id, crashes))
          await this.#end(db, effects, row, 'crashed', { failure, counts: true })
          crashed.push({ ...row, died })
        } else {
          await this.#set(db, position, { ...this.#first(), crashes, worker: null })
          effects.ready.add(queue)
        }
      }
      return crashed
    })
  }

  /** Ends tasks that have succeeded, as many as it can at once. @returns those that it could not, and which are to be settled */
  async succeed(
    all: readonly { run: DatabaseRun; result: string | null }[],
    worker: string,
  ): Promise<DatabaseRun[]> {
    const left: DatabaseRun[] = []
    const alike = Map.groupBy(all, ({ run }) =>
      JSON.stringify(keptOf(run.row, 'succeeded', this.#keep)),
    )
    for (const [text, ends] of alike) {
      const kept: Kept = JSON.parse(text)
      const positions = sql.join(ends.map(({ run }) => run.row.position))
      const given = ends.filter(({ result }) => result !== null)
      const cases = given.map(({ run, result }) => sql`when ${run.row.position} then ${result}`)
      const result =
        given.length === 0 ? sql`null` : sql`case position ${sql.join(cases, sql` `)} end`
      const { numAffectedRows } = await sql`
        update ${this.#tasksBy('primary')} set state = 'succeeded', urgency = 0, turn = ${this.#now},
          finished = ${this.#now}, result = ${result}, attempts_made = attempts_made + 1, uniq = null,
          kept_with = ${kept.with}, expires = ${this.#in(kept.age)},
          held = ${kept.held > 0 ? this.#in(kept.held) : null}
        where position in (${positions}) and state = 'running' and worker = ${worker} and cancelled = 0`.execute(
        this.#db,
      )
      const over = ends.map(({ run: { id } }) => ({ id, kept, state: 'succeeded' as const }))
      if (Number(numAffectedRows) === ends.length) this.#changed({ over, ready: new Set() })
      else left.push(...ends.map(({ run }) => run))
    }
    return left
  }

  /**
   * Says what a try has come to, by whoever runs it: the first that says so counts.
   *
   * @returns whether it was taken: not where the task has ended elsewhere
   */
  async settle({ row: claimed }: DatabaseRun, worker: string, outcome: Outcome): Promise<boolean> {
    return await this.#change(async (db, effects) => {
      const row = await this.#lock(db, 'position', claimed.position)
      // It was ended with others, of which one could not be.
      if (row?.state === 'succeeded' && row.worker === worker) return true
      if (!row || isOver(row.state) || row.attempts_made !== claimed.attempts_made) return false
      if (row.cancelled) {
        const failure = cancelled(row.id)
        await this.#end(db, effects, row, 'cancelled', { failure, counts: true })
      } else if (outcome.state === 'back' || outcome.state === 'again') {
        const counts = outcome.state === 'again' && outcome.counts
        // Others have it by now.
        if (!counts && row.worker !== worker) return false
        const delay = outcome.state === 'again' ? outcome.delay : 0
        const next = outcome.state === 'back' ? this.#first() : this.#atOnce(row)
        await this.#set(db, row.position, {
          ...(delay > 0 ? this.#delayed(delay) : next),
          attempts_made: row.attempts_made + (counts ? 1 : 0),
          ...{ crashes: 0, worker: null },
        })
        effects.ready.add(row.queue)
      } else await this.#end(db, effects, row, outcome.state, { ...outcome, counts: true })
      return true
    })
  }

  /** Deletes what is kept no longer, now and then. */
  async sweep(): Promise<void> {
    await this.trim()
    const now = performance.now()
    if (now < this.#nextSweep) return
    this.#nextSweep = now + SWEEP
    const old = await this.#db
      .selectFrom('plinth_task')
      .select('position')
      .where('expires', '<', this.#now)
      .orderBy('expires')
      .limit(PAGE)
      .execute()
    await this.#delete(old)
  }

  /** Of those that are kept together more may have ended than are kept. */
  async trim(): Promise<void> {
    for (const [key, { kept, state, ends }] of this.#ended) {
      if (ends < kept.count / 10) continue
      this.#ended.delete(key)
      const counted = () =>
        this.#db
          .selectFrom('plinth_task')
          .where('kept_with', '=', kept.with)
          .where('state', '=', state)
          .where(({ or, eb }) => or([eb('held', 'is', null), eb('held', '<', this.#now)]))
      const last = await counted()
        .select(['turn', 'position'])
        .orderBy('turn', 'desc')
        .orderBy('position', 'desc')
        .offset(kept.count)
        .limit(1)
        .executeTakeFirst()
      if (!last) continue
      const old = await counted()
        .select('position')
        .where(({ or, and, eb }) =>
          or([
            eb('turn', '<', last.turn),
            and([eb('turn', '=', last.turn), eb('position', '<=', last.position)]),
          ]),
        )
        .orderBy('turn')
        .limit(PAGE * 4)
        .execute()
      await this.#delete(old)
    }
  }

  async #delete(rows: readonly { position: number }[]): Promise<void> {
    if (rows.length === 0) return
    const positions = sql.join(rows.map(({ position }) => position).toSorted((a, b) => a - b))
    // So MySQL is told which key to use, by which it meets no row that others have locked.
    await (this.#isMysql
      ? sql`delete t from ${sql.table('plinth_task')} as t force index (primary) where t.position in (${positions})`
      : sql`delete from ${sql.table('plinth_task')} where position in (${positions})`
    ).execute(this.#db)
  }

  /** What the code under way reads and writes in. */
  get #here(): Db {
    return currentTransaction(this.#db) ?? this.#db
  }

  /**
   * All of it or nothing, a part of the transaction that the code under way is in, else tried again where others are in the way.
   * Who listens is told of it when it is committed.
   */
  async #change<T>(work: (db: Db, effects: Effects) => Promise<T>): Promise<T> {
    const current = currentTransaction(this.#db)
    for (let attempt = 1; ; attempt++) {
      const effects: Effects = { over: [], ready: new Set() }
      try {
        const result = await (current
          ? inTransaction(current as Db, (db) => work(db, effects))
          : this.#alone((db) => work(db, effects)))
        this.#changed(effects)
        return result
      } catch (error) {
        if (current || attempt >= ATTEMPTS || !isTransactionConflict(error)) throw error
      }
      await sleep(Math.random() * 10 * 2 ** attempt)
    }
  }

  /** In a transaction of its own; on MySQL one that locks nothing but the rows that it changes. */
  #alone<T>(work: (db: Db) => Promise<T>): Promise<T> {
    const transaction = this.#db.transaction()
    const chosen = this.#isMysql ? transaction.setIsolationLevel('read committed') : transaction
    return chosen.execute(work as never)
  }

  #changed({ over, ready }: Effects): void {
    if (over.length === 0 && ready.size === 0) return
    const tell = () => {
      for (const { id, state, kept } of over) {
        if (state && kept) this.#count(state, kept)
        this.#listener.onOver(id)
      }
      for (const queue of ready) this.#listener.onReady(queue)
    }
    afterCommit(this.#db, tell, this.#listener.onError)
  }

  #count(state: End, kept: Kept): void {
    const key = `${state} ${kept.with} ${kept.count}`
    const known = this.#ended.get(key) ?? { kept, state, ends: 0 }
    known.ends++
    this.#ended.set(key, known)
    if (kept.age < SWEEP) this.#nextSweep = 0
  }

  async #read(db: Db, id: string): Promise<TaskRow | undefined> {
    return await db.selectFrom('plinth_task').selectAll().where('id', '=', id).executeTakeFirst()
  }

  /** Reads a row as it is now, and keeps others from it until this transaction ends. */
  async #lock(
    db: Db,
    key: 'id' | 'position',
    value: string | number,
  ): Promise<TaskRow | undefined> {
    const found = db
      .selectFrom('plinth_task')
      .selectAll()
      .where(key, '=', value as never)
    const row = await (this.#isMysql ? found.forUpdate() : found).executeTakeFirst()
    return row
  }

  async #insert(db: Db, added: readonly Added[], isPlain = false): Promise<void> {
    for (const chunk of added.length === 1 ? [added] : chunksOf(added)) {
      const rows = chunk.map((one) => toRow(one, this.#now))
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
    const ignoring = this.#isMysql
      ? insert.onDuplicateKeyUpdate({ id: sql`id` } as never)
      : insert.onConflict((conflict) => conflict.doNothing())
    await ignoring.execute()
  }

  /** The ids of the tasks that count, after theirs were inserted. @throws {PlinthError} TASK_KEY_REUSED */
  async #idsOf(db: Db, tasks: readonly NewTask[], attempt = 1): Promise<string[]> {
    const rows = tasks.map((task) => toRow({ task }, this.#now))
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
    const lock = this.#isMysql ? sql`lock in share mode` : sql``
    const { rows } = await sql<Pick<TaskRow, 'id' | 'uniq' | 'state' | 'options' | 'result'>>`
      select id, uniq, state, options, result from ${this.#tasksBy(key)}
      where ${sql.ref(key)} in (${sql.join(values)}) ${lock}`.execute(db)
    return new Map(rows.map((row) => [row[key] as string, row]))
  }

  async #set(db: Db, position: number, values: { [K in keyof TaskRow]?: unknown }): Promise<void> {
    await db
      .updateTable('plinth_task')
      .set(values as never)
      .where('position', '=', position)
      .execute()
  }

  async #setAll(
    db: Db,
    rows: readonly { position: number }[],
    values: { [K in keyof TaskRow]?: unknown },
  ): Promise<void> {
    const set = Object.entries(values).map(([name, value]) => sql`${sql.ref(name)} = ${value}`)
    const positions = sql.join(rows.map(({ position }) => position))
    await sql`update ${this.#tasksBy('primary')} set ${sql.join(set)} where position in (${positions})`.execute(
      db,
    )
  }

  async #end(
    db: Db,
    effects: Effects,
    row: ClaimedRow,
    state: End,
    {
      result = null,
      failure,
      counts = false,
    }: { result?: string | null; failure?: Failure; counts?: boolean },
  ): Promise<void> {
    const kept = keptOf(row, state, this.#keep)
    await this.#set(db, row.position, {
      ...{ state, urgency: 0, turn: this.#now, finished: this.#now },
      // One that is throttled keeps others out as long as that says.
      ...(readOptions(row).throttle === undefined && { uniq: null }),
      ...{ result, failure: failure ? JSON.stringify(failure) : null },
      attempts_made: row.attempts_made + (counts ? 1 : 0),
      ...{ kept_with: kept.with, expires: this.#in(kept.age) },
      held: kept.held > 0 ? this.#in(kept.held) : null,
    })
    effects.over.push({ id: row.id, state, kept })
    if (row.parent === null) return
    if (state === 'succeeded')
      await this.#fulfil(db, effects, row, { [row.id]: JSON.parse(result ?? 'null') })
    else await this.#failParent(db, effects, row, failure)
  }

  /** The one that waits for it has one less to wait for. */
  async #fulfil(
    db: Db,
    { ready }: Effects,
    { parent }: Pick<TaskRow, 'parent'>,
    known: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    const row = await this.#lock(db, 'id', parent as string)
    if (!row) return
    const results = JSON.stringify({ ...JSON.parse(row.results ?? '{}'), ...known })
    const goesOn = row.state === 'blocked' && isComplete({ ...row, results })
    const { delay } = readOptions(row)
    const next = delay > 0 ? this.#delayed(delay) : this.#atOnce(row)
    await this.#set(db, row.position, { results, ...(goesOn && next) })
    if (goesOn) ready.add(row.queue)
  }

  async #failParent(
    db: Db,
    effects: Effects,
    child: Pick<TaskRow, 'id' | 'parent' | 'options'>,
    failure: Failure | undefined,
  ): Promise<void> {
    const { id, parent } = child
    const { ifFails = 'fail' } = readOptions(child)
    if (ifFails !== 'fail') {
      const known = {
        [failureKey(id)]: failure ?? null,
        ...(ifFails === 'continue' && { [ANY]: 1 }),
      }
      await this.#fulfil(db, effects, child, known)
      return
    }
    const row = await this.#lock(db, 'id', parent as string)
    if (row?.state !== 'blocked') return
    await this.#end(db, effects, row, 'failed', { failure: childFailed(id) })
  }

  /** Behind all others of its priority. */
  #atOnce({ priority }: Pick<TaskRow, 'priority'>) {
    return { state: 'waiting', urgency: priority, turn: this.#now }
  }

  /** Before those of its priority that came later. */
  #first() {
    return { state: 'waiting', urgency: sql`priority`, turn: sql`due` }
  }

  #delayed(delay: number) {
    return { state: 'delayed', urgency: 0, turn: this.#in(delay) }
  }

  #blocked() {
    return { state: 'blocked', urgency: 0, turn: this.#now }
  }

  #in(milliseconds: number): RawBuilder<number> {
    return sql<number>`${this.#now} + ${sql.lit(milliseconds)}`
  }

  /** MySQL would read all rows of a small table, and wait for those that others have locked. */
  #tasksBy(key: 'primary' | 'turn' | 'id' | 'uniq'): RawBuilder<unknown> {
    const table = sql.table('plinth_task')
    if (!this.#isMysql) return table
    return sql`${table} force index (${sql.ref(key === 'primary' ? key : `task_${key}`)})`
  }
}

/** Those that begin, and those that wait a little: of those that may end processes one runs at a time. */
function part(
  rows: readonly ClaimedRow[],
  allowsSuspect: boolean,
): { begin: ClaimedRow[]; later: ClaimedRow[] } {
  const suspects = rows.filter(({ crashes }) => crashes >= SUSPECT)
  const later = new Set(allowsSuspect ? suspects.slice(1) : suspects)
  return { begin: rows.filter((row) => !later.has(row)), later: [...later] }
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

/** Among the results that a task is handed: that it waits for no more of them. */
const ANY = '!'

/** Whether it waits for no other any more. */
function isComplete(row: Pick<TaskRow, 'data' | 'cancelled' | 'results'>): boolean {
  const { children = [] } = readData(row)
  const results = JSON.parse(row.results ?? '{}')
  return ANY in results || children.every((id) => id in results || failureKey(id) in results)
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
