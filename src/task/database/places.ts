import { type RawBuilder, sql } from 'kysely'
import type { WorkOptions } from '../types.ts'
import { readData, readOptions } from './record.ts'
import type { ClaimedRow } from './run.ts'
import type { Effects, TaskSteps } from './steps.ts'
import type { Db, PlaceRow, TaskRow } from './tables.ts'

type Placed = Pick<TaskRow, 'position' | 'options' | 'due'>

/**
 * The places of concurrency keys: how many of the tasks with one run at once, in all processes. Whoever changes something of those of a queue has the
 * row of that queue to itself until it commits, and the rows of its own tasks before: so nobody waits for another in a circle.
 */
export class TaskPlaces {
  readonly #steps: TaskSteps

  constructor(steps: TaskSteps) {
    this.#steps = steps
  }

  /**
   * Those of `rows` that may begin, and have a place from now on. The others are blocked until {@link leave} gives them one.
   *
   * @param behind reads those that wait behind them: those of them that would wait for the same are blocked at once
   */
  async take(
    db: Db,
    queue: string,
    rows: readonly ClaimedRow[],
    concurrencyOf: WorkOptions['concurrencyOf'],
    behind: () => Promise<Placed[]>,
  ): Promise<ClaimedRow[]> {
    const limits = limitsOf(rows, concurrencyOf)
    if (limits.size === 0) return [...rows]
    await this.#steps.lockQueue(db, queue)
    const held = await this.#held(db, [...limits.keys()])
    const has = new Set(held.map(({ position }) => position))
    const free = new Map<string, number>()
    for (const [name, limit] of limits) {
      const left = limit - held.filter((one) => one.name === name).length
      // Those that came before, where there are more places than there were.
      const first = left > 0 ? await this.#fill(db, name, left) : []
      for (const position of first) has.add(position)
      free.set(name, left - first.length)
    }
    /** Whether it may begin: it needs no place, gets one, or has one, of which there are no more than there may be by now. */
    const begins = (row: Placed) => {
      const name = nameOf(row) ?? ''
      const left = free.get(name)
      if (left === undefined) return true
      if (has.has(row.position)) {
        if (left < 0) free.set(name, left + 1)
        return left >= 0
      }
      if (left > 0) free.set(name, left - 1)
      return left > 0
    }
    const { begin = [], wait = [] } = Object.groupBy(rows, (row) =>
      begins(row) ? 'begin' : 'wait',
    )
    const taken = begin.filter((row) => limits.has(nameOf(row) ?? '') && !has.has(row.position))
    await this.#add(db, taken, 1)
    if (wait.length === 0) return begin
    await this.#block(db, wait)
    for (const { position } of begin) has.add(position)
    const isFull = (row: Placed) =>
      (free.get(nameOf(row) ?? '') ?? 1) <= 0 && !has.has(row.position)
    await this.#block(db, (await behind()).filter(isFull))
    return begin
  }

  /** One does not run, and is not about to: the next one gets its place. */
  async leave(
    db: Db,
    { ready }: Effects,
    row: Pick<TaskRow, 'position' | 'options' | 'queue'>,
  ): Promise<void> {
    const name = nameOf(row)
    if (name === undefined) return
    await this.#steps.lockQueue(db, row.queue)
    const { numDeletedRows } = await db
      .deleteFrom('plinth_task_place')
      .where('position', '=', row.position)
      .where('held', '=', 1)
      .executeTakeFirst()
    if (numDeletedRows > 0) {
      if ((await this.#fill(db, name, 1)).length > 0) ready.add(row.queue)
    } else await db.deleteFrom('plinth_task_place').where('position', '=', row.position).execute()
  }

  /** Who has places of these keys. */
  async #held(db: Db, names: readonly string[]): Promise<Pick<PlaceRow, 'position' | 'name'>[]> {
    const { rows } = await sql<Pick<PlaceRow, 'position' | 'name'>>`
      select position, name from ${this.#by('place_next')}
      where name in (${sql.join(names)}) and held = 1`.execute(db)
    return rows
  }

  /** Gives so many places to those that have waited longest. To which. */
  async #fill(db: Db, name: string, count: number): Promise<number[]> {
    // As they are now: a transaction of the service may know them as they were when it began.
    const lock = this.#steps.isMysql ? sql`for update` : sql``
    const { rows } = await sql<Pick<PlaceRow, 'position'>>`
      select position from ${this.#by('place_next')} where name = ${name} and held = 0
      order by priority, due, position limit ${sql.lit(count)} ${lock}`.execute(db)
    if (rows.length === 0) return []
    const positions = rows.map(({ position }) => position)
    const all = sql.join(positions)
    await sql`update ${this.#by('primary')} set held = 1 where position in (${all})`.execute(db)
    await sql`update ${this.#steps.by('primary')} set state = 'waiting', urgency = priority
      where position in (${all}) and state = 'blocked'`.execute(db)
    return positions
  }

  /** As in {@link TaskSteps}. */
  #by(key: 'primary' | 'place_next'): RawBuilder<unknown> {
    const table = sql.table('plinth_task_place')
    return this.#steps.isMysql ? sql`${table} force index (${sql.ref(key)})` : table
  }

  async #block(db: Db, rows: readonly Placed[]): Promise<void> {
    if (rows.length === 0) return
    const positions = rows.map(({ position }) => position)
    await db.deleteFrom('plinth_task_place').where('position', 'in', positions).execute()
    await this.#add(db, rows, 0)
    await this.#steps.setAll(db, rows, { state: 'blocked', urgency: 0 })
  }

  async #add(db: Db, rows: readonly Placed[], held: number): Promise<void> {
    if (rows.length === 0) return
    const values = rows.map((row) => {
      const { concurrencyKey: name = '', priority = 0 } = readOptions(row)
      return { position: row.position, name, held, priority, due: row.due }
    })
    await db.insertInto('plinth_task_place').values(values).execute()
  }
}

function nameOf(row: Pick<TaskRow, 'options'>): string | undefined {
  return readOptions(row).concurrencyKey
}

/** By key how many places it has. */
function limitsOf(
  rows: readonly ClaimedRow[],
  concurrencyOf: WorkOptions['concurrencyOf'],
): Map<string, number> {
  const limits = new Map<string, number>()
  for (const row of rows) {
    const name = nameOf(row)
    if (name === undefined || limits.has(name)) continue
    const limit = concurrencyOf?.(readData(row))
    if (limit !== undefined) limits.set(name, limit)
  }
  return limits
}
