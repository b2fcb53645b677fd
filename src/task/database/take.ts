import { type RawBuilder, sql } from 'kysely'
import { errors } from '../../errors.ts'
import { cancelled, failureOf } from '../errors.ts'
import type { Progress, StartLimit, WorkOptions } from '../types.ts'
import type { TaskFinisher } from './finish.ts'
import type { TaskPlaces } from './places.ts'
import { withDeath } from './record.ts'
import type { ClaimedRow, DatabaseRun, RunTable } from './run.ts'
import type { TaskSteps } from './steps.ts'
import type { Db, RowState, TaskRow } from './tables.ts'

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
  concurrencyOf: WorkOptions['concurrencyOf']
  /** Whether one may begin by which processes may have died. */
  allowsSuspect: boolean
}

export interface Claimed {
  rows: ClaimedRow[]
  /** Milliseconds until another one may start, where there is a limit. */
  wait: number
  /** Whether there may be others that may start at once. */
  more: boolean
}

/** The first `count` tasks of a queue of which something is true. */
interface Wanted<C extends keyof TaskRow> {
  columns: readonly C[]
  queue: string
  is: RawBuilder<boolean>
  count: number
}

type Picked<C extends keyof TaskRow> = Pick<TaskRow, C | 'position'>

/** After so many deaths a task may be what ends processes. It runs beside no other such one then: of two it would be unknown which. */
export const SUSPECT = 2
// When it is looked at again, in ms, at most.
const SUSPECT_DELAY = 1000
// How many are looked through at once.
const PAGE = 500

const CLAIMED = [
  ...(['position', 'id', 'queue', 'parent', 'data', 'options'] as const),
  ...(['attempts_made', 'crashes', 'cancelled', 'due', 'died', 'worker', 'started'] as const),
]

/** How workers come by tasks, and keep them while they run. */
export class TaskTaker implements RunTable {
  readonly #steps: TaskSteps
  readonly #finish: TaskFinisher
  readonly #places: TaskPlaces
  // MariaDB knows `skip locked` from 10.6 on, MySQL from 8.0 on.
  #skips: boolean

  constructor(steps: TaskSteps, finish: TaskFinisher, places: TaskPlaces) {
    this.#steps = steps
    this.#finish = finish
    this.#places = places
    this.#skips = steps.isMysql
  }

  /** What there may be to do in queues: a look that locks nothing. */
  async look(queues: readonly string[]): Promise<Waiting[]> {
    const parts = queues.flatMap((queue) => {
      const first = (state: RowState) => sql`
        select * from (
          select ${sql.lit(state)} as state, queue, turn - ${this.#steps.now} as due from ${this.#steps.by('turn')}
          where queue = ${queue} and state = ${sql.lit(state)} order by urgency, turn limit 1
        ) as ${sql.ref(`${state}_${queue}`)}`
      return [first('waiting'), first('delayed')]
    })
    const { rows } = await sql<{ state: RowState; queue: string; due: number }>`
      ${sql.join(parts, sql` union all `)}`.execute(this.#steps.db)
    return queues.map((queue) => {
      const own = rows.filter((row) => row.queue === queue)
      const due = own.find(({ state }) => state === 'delayed')?.due ?? Number.POSITIVE_INFINITY
      return { queue, waits: own.some(({ state }) => state === 'waiting'), due }
    })
  }

  /** Makes tasks of a queue a worker's: those that are next, and may start now. */
  async claim(queue: string, options: ClaimOptions): Promise<Claimed> {
    const { worker, lease, limit, concurrency } = options
    if (limit || concurrency !== undefined) await this.#steps.lockQueue(this.#steps.here, queue)
    return await this.#steps.alone(async (db) => {
      const places = concurrency && (await this.#placesIn(db, queue, concurrency))
      const window = limit && (await this.#openWindow(db, queue, limit))
      const free = Math.min(options.count, window?.free ?? options.count, places ?? options.count)
      const wait = window?.wait ?? 0
      if (free === 0) return { rows: [], wait, more: false }
      await this.#promote(db, queue)
      const next = await this.#next(db, queue, free, CLAIMED)
      const { first, later } = part(next, options.allowsSuspect)
      if (later.length > 0)
        await this.#steps.setAll(db, later, {
          ...this.#steps.delayed(Math.ceil(Math.random() * SUSPECT_DELAY)),
        })
      const behind = () => this.#next(db, queue, PAGE, ['position', 'options', 'due'])
      const begin = await this.#places.take(db, queue, first, options.concurrencyOf, behind)
      if (begin.length > 0)
        await this.#steps.setAll(db, begin, {
          ...{
            state: 'running',
            urgency: 0,
            turn: this.#steps.in(lease),
            worker,
            started: this.#steps.now,
          },
        })
      if (window && begin.length > 0) await window.start(begin.length)
      return { rows: begin, wait: begin.length > 0 ? 0 : wait, more: first.length > 0 }
    })
  }

  /** Lets those wait that were delayed until now. */
  async #promote(db: Db, queue: string): Promise<void> {
    const due = sql<boolean>`state = 'delayed' and urgency = 0 and turn <= ${this.#steps.now}`
    const wanted = { columns: ['position'] as const, queue, is: due, count: PAGE }
    const rows = await this.#pickSeen(db, wanted)
    if (rows.length > 0)
      await this.#steps.setAll(db, rows, { state: 'waiting', urgency: sql`priority` })
  }

  async #next<C extends keyof TaskRow>(
    db: Db,
    queue: string,
    count: number,
    columns: readonly C[],
  ): Promise<Picked<C>[]> {
    const runs = sql<boolean>`state = 'waiting' and not exists (
      select 1 from ${sql.table('plinth_task_queue')} as q where q.name = ${queue} and q.paused = 1)`
    return await this.#pick(db, { columns, queue, is: runs, count })
  }

  /**
   * Locks the rows that are wanted: of those that others have locked it takes none, and waits for none.
   */
  async #pick<C extends keyof TaskRow>(db: Db, wanted: Wanted<C>): Promise<Picked<C>[]> {
    const picked = await this.#skipping((lock) => this.#first(db, wanted, lock))
    return picked ?? (await this.#pickSeen(db, wanted))
  }

  /**
   * The same, but looks first, and locks what it has seen by its key. For a range such as "until now", in which MySQL would lock
   * the row behind it as well: that of another state or queue which is next there, and which others would pass over.
   */
  async #pickSeen<C extends keyof TaskRow>(db: Db, wanted: Wanted<C>): Promise<Picked<C>[]> {
    if (!this.#steps.isMysql) return await this.#first(db, wanted)
    const seen = await this.#first(db, { ...wanted, columns: ['position'] })
    if (seen.length === 0) return []
    // In the order of their key, in which nobody waits for another in a circle.
    const keys = sql.join(seen.map(({ position }) => position).toSorted((a, b) => a - b))
    const picked = async (lock: RawBuilder<unknown>) => {
      const { rows } = await sql<Picked<C>>`
        select ${listOf(wanted)} from ${this.#steps.by('primary')} where position in (${keys}) and ${wanted.is}
        order by position ${lock}`.execute(db)
      return rows
    }
    return (await this.#skipping(picked)) ?? (await picked(sql`for update`))
  }

  async #first<C extends keyof TaskRow>(
    db: Db,
    wanted: Wanted<C>,
    lock: RawBuilder<unknown> = sql``,
  ): Promise<Picked<C>[]> {
    const { queue, is, count } = wanted
    const { rows } = await sql<Picked<C>>`
      select ${listOf(wanted)} from ${this.#steps.by('turn')} where queue = ${queue} and ${is}
      order by urgency, turn, position limit ${sql.lit(count)} ${lock}`.execute(db)
    return rows
  }

  /** What a statement gives that passes over rows which others have locked; nothing where the words for that are not known. */
  async #skipping<T>(run: (lock: RawBuilder<unknown>) => Promise<T>): Promise<T | undefined> {
    if (!this.#skips) return undefined
    try {
      return await run(sql`for update skip locked`)
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'ER_PARSE_ERROR') throw error
      this.#skips = false
      return undefined
    }
  }

  /** How many more of a queue may run now. Who asks at the same time waits for this one. */
  async #placesIn(db: Db, queue: string, concurrency: number): Promise<number> {
    const lock = this.#steps.isMysql ? sql`for update` : sql``
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
    const lock = this.#steps.isMysql ? sql`for update` : sql``
    const { rows } = await sql<{ starts: string | null; now: number }>`
      select starts, ${this.#steps.now} as now from ${sql.table('plinth_task_queue')}
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
    const which = sql`${this.#steps.by('primary')}`
    if (lease !== undefined)
      await sql`update ${which} set turn = ${this.#steps.in(lease)}
        where position in (${positions}) and worker = ${worker} and state = 'running'`.execute(
        this.#steps.db,
      )
    const { rows } = await sql<{ position: number }>`
      select position from ${which} where position in (${positions}) and cancelled = 1`.execute(
      this.#steps.db,
    )
    return new Set(rows.map(({ position }) => position))
  }

  /** The tasks whose workers have given no sign of life for so long: a look that locks nothing. */
  async lost(queues: readonly string[]): Promise<number[]> {
    const { rows } = await sql<{ position: number }>`
      select position from ${this.#steps.by('turn')} where queue in (${sql.join(queues)}) and ${this.#isLost}
      limit ${sql.lit(PAGE)}`.execute(this.#steps.db)
    return rows.map(({ position }) => position)
  }

  get #isLost(): RawBuilder<boolean> {
    return sql<boolean>`state = 'running' and urgency = 0 and turn < ${this.#steps.now}`
  }

  /**
   * Takes back the tasks of workers that have still given no sign of life.
   *
   * @param lost those that had none before
   * @returns those that are given up by that: too many processes have died that ran them
   */
  async recover(
    queue: string,
    maxCrashes: number,
    lost: ReadonlySet<number>,
  ): Promise<ClaimedRow[]> {
    return await this.#steps.change(async (db, effects) => {
      const wanted = { columns: CLAIMED, queue, is: this.#isLost, count: PAGE }
      const rows = await this.#pickSeen(db, wanted)
      const crashed: ClaimedRow[] = []
      for (const row of rows.filter(({ position }) => lost.has(position))) {
        const { id, position } = row
        const crashes = row.crashes + 1
        const died = JSON.stringify(withDeath(row))
        await this.#steps.set(db, position, { died })
        if (row.cancelled) {
          await this.#finish.end(db, effects, row, 'cancelled', {
            failure: cancelled(id),
            counts: true,
          })
        } else if (crashes >= maxCrashes) {
          const failure = failureOf(errors.TASK_CRASHED(id, crashes))
          await this.#finish.end(db, effects, row, 'crashed', { failure, counts: true })
          crashed.push({ ...row, died })
        } else {
          await this.#steps.set(db, position, { ...this.#steps.first(), crashes, worker: null })
          await this.#places.leave(db, effects, row)
          effects.ready.add(queue)
        }
      }
      return crashed
    })
  }

  /** Lets nothing more of a queue be taken, or again. */
  async pause(queue: string, paused: boolean): Promise<void> {
    await this.#steps.lockQueue(this.#steps.here, queue)
    await this.#steps.here
      .updateTable('plinth_task_queue')
      .set({ paused: paused ? 1 : 0 })
      .where('name', '=', queue)
      .execute()
    if (!paused) this.#steps.changed({ over: [], ready: new Set([queue]) })
  }

  async progress(position: number, progress: Progress): Promise<void> {
    await this.#steps.set(this.#steps.here, position, { progress: JSON.stringify(progress) })
  }

  async results(position: number): Promise<Record<string, unknown>> {
    const row = await this.#steps.here
      .selectFrom('plinth_task')
      .select('results')
      .where('position', '=', position)
      .executeTakeFirst()
    return JSON.parse(row?.results ?? '{}')
  }
}

const listOf = ({ columns }: Wanted<keyof TaskRow>): RawBuilder<unknown> =>
  sql.join(columns.map((column) => sql.ref(column)))

/** Those that begin, and those that wait a little: of those that may end processes one runs at a time. */
function part(
  rows: readonly ClaimedRow[],
  allowsSuspect: boolean,
): { first: ClaimedRow[]; later: ClaimedRow[] } {
  const suspects = rows.filter(({ crashes }) => crashes >= SUSPECT)
  const later = new Set(allowsSuspect ? suspects.slice(1) : suspects)
  return { first: rows.filter((row) => !later.has(row)), later: [...later] }
}
