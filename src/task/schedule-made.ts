import { type Kysely, sql } from 'kysely'
import { afterCommit, currentTransaction } from '../database/current-transaction.ts'
import { MadeTables } from '../database/own-tables.ts'
import { dialectOf } from '../database/portable.ts'
import { errors, PlinthError } from '../errors.ts'
import type { Schedule, ScheduleStore } from './schedule.ts'
import type { MadeSchedule, TaskLog } from './types.ts'

interface MadeRow {
  name: string
  /** JSON. */
  given: string
}

interface Tables {
  plinth_schedule_made: MadeRow
}

const TABLE = 'plinth_schedule_made'
const NAME = /^[\w.:-]{1,100}$/
// Its number of MySQL, and the words of SQLite.
const NO_TABLE = 1146
const NO_SUCH_TABLE = /^no such table/

export interface MadeSchedulesOptions {
  /** @throws {PlinthError} SCHEDULE_INVALID, RESOURCE_UNKNOWN, INVALID_REQUEST */
  read: (name: string, given: MadeSchedule) => Schedule
  /** Whether the code of the service has one of that name. */
  isDeclared: (name: string) => boolean
  store: ScheduleStore
  /** Called when one was set or removed, and that is committed. */
  changed: () => void
  log: TaskLog
}

/** Schedules that are made at run time: kept in a table of the database, for all processes. */
export class MadeSchedules {
  readonly #db: Kysely<Tables>
  readonly #options: MadeSchedulesOptions
  readonly #table: MadeTables<Tables>
  /** Those that cannot run here: told once. */
  readonly #told = new Set<string>()

  constructor(db: Kysely<never>, options: MadeSchedulesOptions) {
    this.#db = db as unknown as Kysely<Tables>
    this.#options = options
    this.#table = new MadeTables(this.#db, {
      names: [TABLE],
      make: createTable,
      missing: errors.TASK_TABLES_MISSING,
    })
  }

  /** Those that there are. One whose resource this release does not have is left out, and told. */
  async all(): Promise<Schedule[]> {
    const rows = await this.#here
      .selectFrom(TABLE)
      .selectAll()
      .orderBy('name')
      .execute()
      .catch((error) => {
        // Nobody has set one yet.
        if (error.errno === NO_TABLE || NO_SUCH_TABLE.test(error.message)) return []
        throw error
      })
    return rows.flatMap(({ name, given }) => {
      try {
        return [this.#options.read(name, JSON.parse(given))]
      } catch (err) {
        if (!PlinthError.is(err)) throw err
        if (!this.#told.has(given))
          this.#options.log.warn({ err, schedule: name }, 'A schedule cannot run in this release')
        this.#told.add(given)
        return []
      }
    })
  }

  /** @throws {PlinthError} SCHEDULE_INVALID, RESOURCE_UNKNOWN, INVALID_REQUEST, TASK_TABLES_MISSING */
  async set(name: string, given: MadeSchedule): Promise<void> {
    const { read, isDeclared, store, changed } = this.#options
    if (!NAME.test(name))
      throw errors.SCHEDULE_INVALID(
        name,
        `its name is ${JSON.stringify(name)}; expected ${NAME.source}`,
      )
    if (isDeclared(name))
      throw errors.SCHEDULE_INVALID(name, 'the service itself has one of that name')
    const schedule = read(name, given)
    await this.#table.prepare()
    const isNew = !(await this.#has(name))
    const row = { name, given: JSON.stringify(given) }
    const insert = this.#here.insertInto(TABLE).values(row)
    await (dialectOf(this.#db) === 'mysql'
      ? insert.onDuplicateKeyUpdate({ given: row.given })
      : insert.onConflict((conflict) => conflict.column('name').doUpdateSet({ given: row.given }))
    ).execute()
    const begin = async () => {
      const { now } = await store.open(schedule)
      // One of that name may have been there before.
      if (isNew) await store.advance(schedule, now)
      changed()
    }
    if (currentTransaction(this.#db)) afterCommit(this.#db, begin, changed)
    else await begin()
  }

  /** Whether there was one. */
  async remove(name: string): Promise<boolean> {
    // MySQL does not compare another text with a column of ASCII, but fails.
    if (!NAME.test(name)) return false
    await this.#table.prepare()
    const { numDeletedRows } = await this.#here
      .deleteFrom(TABLE)
      .where('name', '=', name)
      .executeTakeFirst()
    afterCommit(this.#db, this.#options.changed, () => {})
    return numDeletedRows > 0n
  }

  async #has(name: string): Promise<boolean> {
    const found = this.#here.selectFrom(TABLE).select('name').where('name', '=', name)
    return (await found.executeTakeFirst()) !== undefined
  }

  get #here(): Kysely<Tables> {
    return currentTransaction(this.#db) ?? this.#db
  }
}

async function createTable(db: Kysely<Tables>): Promise<void> {
  const isMysql = dialectOf(db) === 'mysql'
  const name = isMysql ? sql`varchar(100) character set ascii collate ascii_bin` : sql`text`
  await sql`
    create table if not exists ${sql.table(TABLE)} (
      name ${name} not null primary key, given ${isMysql ? sql`longtext` : sql`text`} not null
    ) ${isMysql ? sql`default character set utf8mb4` : sql``}`.execute(db)
}
