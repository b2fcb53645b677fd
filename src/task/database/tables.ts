import { type Generated, type Kysely, type RawBuilder, type Selectable, sql } from 'kysely'
import { MadeTables, ownName } from '../../database/own-tables.ts'
import { dialectOf } from '../../database/portable.ts'
import { errors } from '../../errors.ts'

/** Where a row is: `blocked` waits for other tasks, its children or those that have its places; `same` is another id of the one that `result` names. */
export type RowState =
  | 'waiting'
  | 'delayed'
  | 'blocked'
  | 'running'
  | 'succeeded'
  | 'failed'
  | 'crashed'
  | 'cancelled'
  | 'same'

/** A task. Instants are milliseconds since 1970 by the clock of the database, texts JSON where nothing else is said. */
interface TaskColumns {
  /** The order of adding. */
  position: Generated<number>
  id: string
  queue: string
  state: RowState
  /** In a state and queue the lower come first: of those that wait their priority, of all others 0. */
  urgency: number
  /** Then these: since when it waits or has ended, until when it is delayed, or its worker's. */
  turn: number
  priority: number
  /** No text of JSON: while it has not ended, what no other may have. */
  uniq: string | null
  /** The id of the one that waits for it. */
  parent: string | null
  data: string
  options: string
  /** By id what those gave that it waits for. */
  results: string | null
  progress: string | null
  result: string | null
  failure: string | null
  attempts_made: number
  /** How often a process has died that ran it. */
  crashes: number
  /** Which these were. */
  died: string | null
  /** 1: somebody has cancelled it. */
  cancelled: number
  /** Whose it is or was, `HOST:PID/RANDOM`: no JSON. */
  worker: string | null
  enqueued: number
  /** When it could run first. */
  due: number
  started: number | null
  finished: number | null
  /** Of which so many are kept: no JSON. */
  kept_with: string | null
  /** When it is deleted at the latest. */
  expires: number | null
  /** Until when its key holds. */
  held: number | null
}

export type TaskRow = Selectable<TaskColumns>

/** What is known of a queue. */
interface QueueRow {
  name: string
  /** 1: nothing more of it runs. */
  paused: number
  /** Where there is a limit: instants and how many tasks started then, JSON. */
  starts: string | null
}

/** Of a task with a `concurrencyKey`, while it runs, and while it waits for that. */
export interface PlaceRow {
  /** Of its task. */
  position: number
  /** The key. */
  name: string
  /** 1: it may run, or does. */
  held: number
  /** The lower come first. */
  priority: number
  /** Then who could run earlier, then who was added earlier. */
  due: number
}

export interface TaskTables {
  plinth_task: TaskColumns
  plinth_task_place: PlaceRow
  plinth_task_queue: QueueRow
}

export type Db = Kysely<TaskTables>

const TASKS = 'plinth_task'
const PLACES = 'plinth_task_place'
const QUEUES = 'plinth_task_queue'

/** The instant by the clock of the database, which is one for all processes, in milliseconds since 1970. */
export function nowOf<DB>(db: Kysely<DB>): RawBuilder<number> {
  return dialectOf(db) === 'mysql'
    ? sql<number>`cast(unix_timestamp(now(3)) * 1000 as signed)`
    : sql<number>`cast(round(unixepoch('now', 'subsec') * 1000) as integer)`
}

/** Whether what is in a database ends with its process: of SQLite, where it has no file. */
export async function isInMemory<DB>(db: Kysely<DB>): Promise<boolean> {
  if (dialectOf(db) === 'mysql') return false
  const { rows } = await sql<{ file: string }>`
    select file from pragma_database_list where name = 'main'`.execute(db)
  return rows[0]?.file === ''
}

/** The tables of tasks. */
export function tablesOfTasks(db: Db): MadeTables<TaskTables> {
  return new MadeTables(db, {
    names: [TASKS, PLACES, QUEUES],
    make: dialectOf(db) === 'mysql' ? createMysql : createSqlite,
    missing: errors.TASK_TABLES_MISSING,
  })
}

async function createMysql(db: Db): Promise<void> {
  // Ids differ by case, which MySQL's usual collations do not see.
  const ascii = (length: number) =>
    sql`varchar(${sql.lit(length)}) character set ascii collate ascii_bin`
  await sql`
    create table if not exists ${sql.table(TASKS)} (
      position bigint not null auto_increment primary key,
      id ${ascii(90)} not null,
      queue ${ascii(40)} not null,
      state ${ascii(10)} not null,
      urgency integer not null,
      turn bigint not null,
      priority integer not null,
      uniq ${ascii(43)},
      parent ${ascii(90)},
      data longtext not null,
      options longtext not null,
      results longtext,
      progress longtext,
      result longtext,
      failure longtext,
      attempts_made integer not null,
      crashes integer not null,
      died longtext,
      cancelled integer not null,
      worker ${ascii(255)},
      enqueued bigint not null,
      due bigint not null,
      started bigint,
      finished bigint,
      kept_with ${ascii(43)},
      expires bigint,
      held bigint,
      unique key task_id (id),
      unique key task_uniq (uniq),
      key task_turn (queue, state, urgency, turn),
      key task_kept (kept_with, state, turn, held),
      key task_expires (expires)
    ) default character set utf8mb4`.execute(db)
  await sql`
    create table if not exists ${sql.table(PLACES)} (
      position bigint not null primary key,
      name ${ascii(43)} not null,
      held integer not null,
      priority integer not null,
      due bigint not null,
      key place_next (name, held, priority, due, position)
    ) default character set utf8mb4`.execute(db)
  await sql`
    create table if not exists ${sql.table(QUEUES)} (
      name ${ascii(40)} not null primary key, paused integer not null, starts longtext
    ) default character set utf8mb4`.execute(db)
}

async function createSqlite(db: Db): Promise<void> {
  // Of a whole file: several services may have tables of their own in it.
  const on = async (table: string, name: string, columns: string) =>
    await sql`create index if not exists ${sql.ref(`${ownName(db, table)}_${name}`)}
      on ${sql.table(table)} (${sql.raw(columns)})`.execute(db)
  await sql`
    create table if not exists ${sql.table(TASKS)} (
      position integer primary key autoincrement,
      id text not null unique,
      queue text not null,
      state text not null,
      urgency integer not null,
      turn integer not null,
      priority integer not null,
      uniq text unique,
      parent text,
      data text not null,
      options text not null,
      results text,
      progress text,
      result text,
      failure text,
      attempts_made integer not null,
      crashes integer not null,
      died text,
      cancelled integer not null,
      worker text,
      enqueued integer not null,
      due integer not null,
      started integer,
      finished integer,
      kept_with text,
      expires integer,
      held integer
    )`.execute(db)
  await on(TASKS, 'turn', 'queue, state, urgency, turn')
  await on(TASKS, 'kept', 'kept_with, state, turn, held')
  await on(TASKS, 'expires', 'expires')
  await sql`
    create table if not exists ${sql.table(PLACES)} (
      position integer primary key, name text not null, held integer not null, priority integer not null,
      due integer not null
    )`.execute(db)
  await on(PLACES, 'next', 'name, held, priority, due, position')
  // The last one: where it is there, all are.
  await sql`
    create table if not exists ${sql.table(QUEUES)} (
      name text not null primary key, paused integer not null, starts text
    )`.execute(db)
}
