import { type Kysely, sql } from 'kysely'
import { MadeTables } from '../database/own-tables.ts'
import { dialectOf } from '../database/portable.ts'
import { errors } from '../errors.ts'
import { nowOf } from './database/tables.ts'
import type { ScheduleKey, ScheduleStore } from './schedule.ts'

/** What is known of one version of a schedule; the row without a version says that all of them are paused. */
interface ScheduleRow {
  name: string
  version: string
  /** Milliseconds since 1970. */
  done: number
  last: number | null
  /** 1: of all versions it was opened last. */
  opened: number
}

interface ScheduleTables {
  plinth_schedule: ScheduleRow
}

type Db = Kysely<ScheduleTables>

const TABLE = 'plinth_schedule'
const PAUSED = ''

/**
 * What all processes know of schedules, in a table of a database, by its clock.
 *
 * @param given that one; its table is made with the first use
 */
export function databaseSchedules<DB>(given: Kysely<DB>): ScheduleStore {
  const db = given as unknown as Db
  const now = nowOf(db)
  const isMysql = dialectOf(db) === 'mysql'
  const table = new MadeTables(db, {
    names: [TABLE],
    make: (db) => createTable(db, isMysql),
    missing: errors.TASK_TABLES_MISSING,
  })

  /** Unless it is there. */
  async function insert(row: { [K in keyof ScheduleRow]: unknown }): Promise<void> {
    const query = db.insertInto(TABLE).values(row as never)
    await (isMysql
      ? query.onDuplicateKeyUpdate({ name: sql`name` } as never)
      : query.onConflict((conflict) => conflict.doNothing())
    ).execute()
  }

  /** Lets an instant of a schedule be at least so late. */
  async function raise(
    { name, version }: ScheduleKey,
    column: 'done' | 'last',
    time: unknown,
  ): Promise<void> {
    const known = sql.ref(column)
    await sql`
      update ${sql.table(TABLE)} set ${known} = ${time}
      where name = ${name} and version = ${version} and (${known} is null or ${known} < ${time})`.execute(
      db,
    )
  }

  return {
    async open({ name, version }, start) {
      await table.prepare()
      const read = () =>
        sql<ScheduleRow & { now: number }>`
        select version, done, last, opened, ${now} as now from ${sql.table(TABLE)}
        where name = ${name}`.execute(db)
      let { rows } = await read()
      const find = () => rows.find((row) => row.version === version)
      const isNew = !find()
      const isOther = rows.some((row) => row.opened === 1 && row.version !== version)
      const begins = start === undefined && (isNew || isOther)
      if (isNew) await insert({ name, version, done: start ?? now, last: null, opened: 0 })
      else if (begins) await raise({ name, version }, 'done', now)
      if (find()?.opened !== 1)
        await sql`
          update ${sql.table(TABLE)} set opened = case when version = ${version} then 1 else 0 end
          where name = ${name}`.execute(db)
      if (isNew || begins) rows = (await read()).rows
      const own = find()
      const done = own?.done ?? 0
      return {
        done,
        last: own?.last ?? null,
        paused: rows.some((row) => row.version === PAUSED),
        // What begins now is done up to now.
        now: begins ? done : (own?.now ?? 0),
      }
    },
    async advance(key, done, last) {
      await table.prepare()
      await insert({ name: key.name, version: key.version, done, last: last ?? null, opened: 0 })
      await raise(key, 'done', done)
      if (last !== undefined) await raise(key, 'last', last)
    },
    async pause(key, paused) {
      await table.prepare()
      const { name, version } = key
      if (paused) {
        await insert({ name, version: PAUSED, done: 0, last: null, opened: 0 })
        return
      }
      const { numDeletedRows } = await db
        .deleteFrom(TABLE)
        .where('name', '=', name)
        .where('version', '=', PAUSED)
        .executeTakeFirst()
      if (numDeletedRows === 0n) return
      await insert({ name, version, done: now, last: null, opened: 0 })
      await raise(key, 'done', now)
    },
  }
}

async function createTable(db: Db, isMysql: boolean): Promise<void> {
  // Names differ by case, which MySQL's usual collations do not see.
  const text = isMysql ? sql`varchar(200) character set utf8mb4 collate utf8mb4_bin` : sql`text`
  await sql`
    create table if not exists ${sql.table(TABLE)} (
      name ${text} not null, version ${text} not null, done bigint not null, last bigint, opened integer not null,
      primary key (name, version)
    ) ${isMysql ? sql`default character set utf8mb4` : sql``}`.execute(db)
}
