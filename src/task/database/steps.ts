import { setTimeout as sleep } from 'node:timers/promises'
import { type Kysely, type RawBuilder, sql } from 'kysely'
import { afterCommit, currentTransaction } from '../../database/current-transaction.ts'
import type { MadeTables } from '../../database/own-tables.ts'
import { dialectOf } from '../../database/portable.ts'
import { inTransaction } from '../../database/transaction.ts'
import { isTransactionConflict } from '../../database/violations.ts'
import type { End, Kept } from './record.ts'
import { type Db, nowOf, type TaskRow, type TaskTables, tablesOfTasks } from './tables.ts'

/** A task that has ended, how, and how it is kept; where these are not there, it is there no longer. */
export interface Over {
  id: string
  state?: End
  kept?: Kept
}

/** Who is told what has happened to tasks, once that is committed. */
export interface Listener {
  onOver(over: Over): void
  /** Something may be done in a queue. */
  onReady(queue: string): void
  onError(error: unknown): void
}

/** What a transaction has done. */
export interface Effects {
  over: Over[]
  ready: Set<string>
}

/** How often a transaction is tried that is in the way of another. */
export const ATTEMPTS = 8

/** What each step of tasks is made of: a transaction of its own or the one at hand, and rows that are read, locked and set. */
export class TaskSteps {
  readonly db: Db
  readonly isMysql: boolean
  /** See {@link nowOf}. */
  readonly now: RawBuilder<number>
  readonly #tables: MadeTables<TaskTables>
  readonly #listener: Listener

  constructor(db: Kysely<never>, listener: Listener) {
    this.db = db as unknown as Db
    this.isMysql = dialectOf(this.db) === 'mysql'
    this.now = nowOf(this.db)
    this.#tables = tablesOfTasks(this.db)
    this.#listener = listener
  }

  /** @throws {PlinthError} TASK_TABLES_MISSING */
  async prepare(): Promise<void> {
    await this.#tables.prepare()
  }

  /** What the code under way reads and writes in. */
  get here(): Db {
    return currentTransaction(this.db) ?? this.db
  }

  /**
   * All of it or nothing, a part of the transaction that the code under way is in, else tried again where others are in the way.
   * Who listens is told of it when it is committed.
   */
  async change<T>(work: (db: Db, effects: Effects) => Promise<T>): Promise<T> {
    const current = currentTransaction(this.db)
    for (let attempt = 1; ; attempt++) {
      const effects: Effects = { over: [], ready: new Set() }
      try {
        const result = await (current
          ? inTransaction(current as Db, (db) => work(db, effects))
          : this.alone((db) => work(db, effects)))
        this.changed(effects)
        return result
      } catch (error) {
        if (current || attempt >= ATTEMPTS || !isTransactionConflict(error)) throw error
      }
      await sleep(Math.random() * 10 * 2 ** attempt)
    }
  }

  /** In a transaction of its own; on MySQL one that locks nothing but the rows that it changes. */
  alone<T>(work: (db: Db) => Promise<T>): Promise<T> {
    const transaction = this.db.transaction()
    const chosen = this.isMysql ? transaction.setIsolationLevel('read committed') : transaction
    return chosen.execute(work as never)
  }

  /** Tells who listens, when it is committed. */
  changed({ over, ready }: Effects): void {
    if (over.length === 0 && ready.size === 0) return
    const tell = () => {
      for (const one of over) this.#listener.onOver(one)
      for (const queue of ready) this.#listener.onReady(queue)
    }
    afterCommit(this.db, tell, this.#listener.onError)
  }

  async read(db: Db, id: string): Promise<TaskRow | undefined> {
    return await db.selectFrom('plinth_task').selectAll().where('id', '=', id).executeTakeFirst()
  }

  /** Reads a row as it is now, and keeps others from it until this transaction ends. */
  async lock(db: Db, key: 'id' | 'position', value: string | number): Promise<TaskRow | undefined> {
    const found = db
      .selectFrom('plinth_task')
      .selectAll()
      .where(key, '=', value as never)
    const row = await (this.isMysql ? found.forUpdate() : found).executeTakeFirst()
    return row
  }

  async set(db: Db, position: number, values: { [K in keyof TaskRow]?: unknown }): Promise<void> {
    await db
      .updateTable('plinth_task')
      .set(values as never)
      .where('position', '=', position)
      .execute()
  }

  async setAll(
    db: Db,
    rows: readonly { position: number }[],
    values: { [K in keyof TaskRow]?: unknown },
  ): Promise<void> {
    const set = Object.entries(values).map(([name, value]) => sql`${sql.ref(name)} = ${value}`)
    const positions = sql.join(rows.map(({ position }) => position))
    await sql`update ${this.by('primary')} set ${sql.join(set)} where position in (${positions})`.execute(
      db,
    )
  }

  /** Makes a queue known; within a transaction nobody else comes further than here before that ends. */
  async lockQueue(db: Db, name: string): Promise<void> {
    const insert = db.insertInto('plinth_task_queue').values({ name, paused: 0 })
    const known = this.isMysql
      ? insert.onDuplicateKeyUpdate({ name: sql`name` })
      : insert.onConflict((conflict) => conflict.doNothing())
    await known.execute()
  }

  /** Behind all others of its priority. */
  atOnce({ priority }: Pick<TaskRow, 'priority'>) {
    return { state: 'waiting', urgency: priority, turn: this.now }
  }

  /** Before those of its priority that came later. */
  first() {
    return { state: 'waiting', urgency: sql`priority`, turn: sql`due` }
  }

  delayed(delay: number) {
    return { state: 'delayed', urgency: 0, turn: this.in(delay) }
  }

  in(milliseconds: number): RawBuilder<number> {
    return sql<number>`${this.now} + ${sql.lit(milliseconds)}`
  }

  /** MySQL would read all rows of a small table, and wait for those that others have locked. */
  by(key: 'primary' | 'turn' | 'id' | 'uniq'): RawBuilder<unknown> {
    const table = sql.table('plinth_task')
    if (!this.isMysql) return table
    return sql`${table} force index (${sql.ref(key === 'primary' ? key : `task_${key}`)})`
  }
}
