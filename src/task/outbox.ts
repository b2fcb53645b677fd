import type { Generated, Kysely } from 'kysely'
import { sql } from 'kysely'
import { afterCommit, currentTransaction } from '../database/current-transaction.ts'
import { insertMissing } from '../database/insert.ts'
import { MadeTables } from '../database/own-tables.ts'
import { dialectOf, portable } from '../database/portable.ts'
import { inTransaction } from '../database/transaction.ts'
import type { Timestamp } from '../database/types.ts'
import { errors } from '../errors.ts'
import type { TaskTree } from './types.ts'

/** What is to leave the database once the transaction that wrote it has been committed. */
export interface OutboxMessage {
  /** A message whose id is there already is not added. */
  id: string
  /** Who takes it. */
  kind: string
  /** JSON. */
  payload: unknown
}

/** A message as it was read. */
export interface StoredMessage {
  id: string
  /** Text that should be JSON. */
  payload: string
  /** How often it was refused. */
  attempts: number
  /** ISO 8601. */
  created_at: string
}

/** What has become of messages; what is not named stays as it is. */
export interface Outcome {
  delivered: readonly string[]
  /** `final`: it is kept, and not sent again. */
  refused: readonly { id: string; problem: string; final: boolean }[]
}

export type Send = (messages: readonly StoredMessage[]) => Promise<Outcome>

interface OutboxRow {
  /** The order of adding: clocks do not agree well enough. */
  position: Generated<number>
  id: string
  kind: string
  payload: string
  created_at: Timestamp
  attempts: number
  failed_at: Timestamp | null
  problem: string | null
}

interface OutboxTables {
  plinth_outbox: OutboxRow
}

type Db = Kysely<OutboxTables>

const TABLE = 'plinth_outbox'
const MAX_PROBLEM = 1000

/** Its table. */
function outboxTable<DB>(db: Kysely<DB>): MadeTables<OutboxTables> {
  return new MadeTables(anyTables(db), {
    names: [TABLE],
    make: createOutboxTable,
    missing: errors.OUTBOX_MISSING,
  })
}

/**
 * Creates the table if it is not there; many processes may do so at once.
 *
 * @throws {PlinthError} OUTBOX_MISSING where that is not allowed
 */
export async function prepareOutbox<DB>(db: Kysely<DB>): Promise<void> {
  await outboxTable(db).prepare()
}

async function createOutboxTable<DB>(db: Kysely<DB>): Promise<void> {
  const { createTable, types } = portable(db)
  const isMysql = dialectOf(db) === 'mysql'
  // Ids differ by case, which MySQL's usual collations do not see.
  const id = isMysql ? sql`varchar(255) character set ascii collate ascii_bin` : 'varchar(255)'
  await createTable(TABLE)
    .ifNotExists()
    .addColumn('position', types.id, (position) => position.primaryKey().autoIncrement())
    .addColumn('id', id, (id) => id.notNull().unique())
    .addColumn('kind', 'varchar(40)', (kind) => kind.notNull())
    // No type for JSON: what cannot be read shall be kept, too.
    .addColumn('payload', isMysql ? sql`longtext` : 'text', (payload) => payload.notNull())
    .addColumn('created_at', types.timestamp, (created) => created.notNull())
    .addColumn('attempts', 'integer', (attempts) => attempts.notNull())
    .addColumn('failed_at', types.timestamp)
    .addColumn('problem', 'text')
    .execute()
}

/** Adds messages: within the transaction of `db` that the code under way is in, else for themselves. */
export async function addToOutbox<DB>(
  db: Kysely<DB>,
  messages: readonly OutboxMessage[],
): Promise<void> {
  const created_at = new Date()
  const rows = messages.map(({ id, kind, payload }) => {
    return { id, kind, payload: JSON.stringify(payload), created_at, attempts: 0 }
  })
  await insertMissing(anyTables(currentTransaction(db) ?? db), TABLE, rows, 'id')
}

// MySQL does not compare another text with a column of ASCII, but fails.
const ASCII = /^[\0-\x7f]*$/

/** The payload of a message that has not been delivered yet. */
export async function findInOutbox<DB>(
  db: Kysely<DB>,
  kind: string,
  id: string,
): Promise<string | undefined> {
  if (!ASCII.test(id)) return undefined
  const row = await anyTables(currentTransaction(db) ?? db)
    .selectFrom(TABLE)
    .select('payload')
    .where('kind', '=', kind)
    .where('id', '=', id)
    .executeTakeFirst()
  return row?.payload
}

/** How many messages wait, and how many were refused for good. */
export async function countOutbox<DB>(
  db: Kysely<DB>,
): Promise<{ waiting: number; failed: number }> {
  const { all, failed } = await anyTables(db)
    .selectFrom(TABLE)
    .select(({ fn }) => [
      fn.countAll<number>().as('all'),
      fn.count<number>('failed_at').as('failed'),
    ])
    .executeTakeFirstOrThrow()
  return { waiting: all - failed, failed }
}

/** When the oldest message was added that waits, ISO 8601; `undefined`: none does. */
export async function oldestInOutbox<DB>(db: Kysely<DB>): Promise<string | undefined> {
  const oldest = await anyTables(db)
    .selectFrom(TABLE)
    .select('created_at')
    .where('failed_at', 'is', null)
    .orderBy('position')
    .limit(1)
    .executeTakeFirst()
  return oldest?.created_at
}

/**
 * Hands the oldest messages to `send`, at most `limit`, and keeps what has become of them. When `send` throws, or the
 * process dies, all of them stay and are sent again: it has to be of no effect to send a message twice.
 *
 * MySQL: what one process sends is locked, and the others pass over it, so that they share the work instead of all
 * doing all of it. The lock is the transaction's, gone with the process that has died: a mark in the row would
 * need a time to run out. It is `read committed`, as nothing else may be locked: neither what is being added, nor the gap
 * behind the last row. SQLite has one connection, which cannot be kept from everybody while Redis is asked, and
 * processes of one machine alone: there two of them may send the same.
 *
 * @param without queues whose messages stay: ids of messages begin with the name of their queue
 * @returns how many were handed to it
 */
export async function sendFromOutbox<DB>(
  db: Kysely<DB>,
  kind: string,
  limit: number,
  send: Send,
  without: readonly string[] = [],
): Promise<number> {
  const work = (db: Db) => sendOldest(db, { kind, limit, without }, send)
  if (dialectOf(db) === 'sqlite') return await work(anyTables(db))
  return await anyTables(db).transaction().setIsolationLevel('read committed').execute(work)
}

interface Wanted {
  kind: string
  limit: number
  without: readonly string[]
}

async function sendOldest(db: Db, wanted: Wanted, send: Send): Promise<number> {
  const rows = await readOldest(db, wanted)
  if (rows.length === 0) return 0
  const positions = new Map(rows.map(({ id, position }) => [id, position]))
  const outcome = await send(rows.map(({ position: _, ...message }) => message))
  await inTransaction(db, (db) => keep(db, outcome, positions))
  return rows.length
}

/**
 * Row by row: of a small table MySQL reads all rows to find several of them, would wait for those that other processes
 * send, and they for ours.
 */
async function keep(
  db: Db,
  { delivered, refused }: Outcome,
  positions: ReadonlyMap<string, number>,
): Promise<void> {
  const positionOf = (id: string) => positions.get(id) ?? 0
  for (const id of delivered)
    await db.deleteFrom(TABLE).where('position', '=', positionOf(id)).execute()
  for (const { id, problem, final } of refused) {
    await db
      .updateTable(TABLE)
      .set(({ eb }) => ({
        attempts: eb('attempts', '+', 1),
        failed_at: final ? new Date() : null,
        problem: problem.slice(0, MAX_PROBLEM),
      }))
      .where('position', '=', positionOf(id))
      .execute()
  }
}

async function readOldest(db: Db, { kind, limit, without }: Wanted) {
  const all = db
    .selectFrom(TABLE)
    .select(['position', 'id', 'payload', 'attempts', 'created_at'])
    .where('kind', '=', kind)
    .where('failed_at', 'is', null)
    .orderBy('position')
    .limit(limit)
  const oldest = without.reduce((query, queue) => query.where('id', 'not like', `${queue}.%`), all)
  if (!db.isTransaction) return await oldest.execute()
  try {
    return await oldest.forUpdate().skipLocked().execute()
  } catch (error) {
    // MariaDB knows these words from 10.6 on. Before that processes may send the same.
    if ((error as { code?: unknown }).code !== 'ER_PARSE_ERROR') throw error
    return await oldest.execute()
  }
}

const anyTables = <DB>(db: Kysely<DB>) => db as unknown as Db

/** A task that waits to be delivered, or was refused for good. */
export interface OutboxEntry {
  /** That of the task. */
  id: string
  state: 'waiting' | 'refused'
  /** Null where the message cannot be read. */
  resource: string | null
  queue: string | null
  /** How often it was refused. */
  attempts: number
  /** ISO 8601. */
  created_at: string
  refused_at: string | null
  /** Why it was refused last. */
  problem: string | null
}

/** How many wait, since when, and how many were refused for good. */
export interface OutboxFigures {
  waiting: number
  refused: number
  /** Seconds; 0: none waits. */
  oldest: number
}

const TASK = 'task'

/** The tasks that wait in a database to be delivered: added within its transactions, sent by whoever takes them. */
export class DatabaseOutbox<DB> {
  readonly #db: Kysely<DB>
  readonly #added: () => void
  readonly #table: MadeTables<OutboxTables>

  /** @param added called when one has been added and committed */
  constructor(db: Kysely<DB>, added: () => void) {
    this.#db = db
    this.#added = added
    this.#table = outboxTable(db)
  }

  inTransaction(): boolean {
    return currentTransaction(this.#db) !== undefined
  }

  /** One that was refused for good is tried again, as it is now. @throws {PlinthError} OUTBOX_MISSING */
  async add(tree: TaskTree): Promise<void> {
    await this.#table.prepare()
    await addToOutbox(this.#db, [{ id: tree.id, kind: TASK, payload: tree }])
    // Only one with a key may have been there before.
    if (tree.options.print !== undefined)
      await this.#update([tree.id], { payload: JSON.stringify(tree), ...ANEW })
    afterCommit(this.#db, this.#added, () => {})
  }

  /** What waits under an id; `isRefused`: no more, it was refused for good. */
  async get(id: string): Promise<{ tree: TaskTree; isRefused: boolean } | undefined> {
    if (!this.#table.areThere || !ASCII.test(id)) return undefined
    const row = await this.#here
      .selectFrom(TABLE)
      .select(['payload', 'failed_at'])
      .where('kind', '=', TASK)
      .where('id', '=', id)
      .executeTakeFirst()
    return row && { tree: JSON.parse(row.payload), isRefused: row.failed_at !== null }
  }

  send = async (limit: number, send: Send, without: readonly string[] = []): Promise<number> => {
    await this.#table.prepare()
    return await sendFromOutbox(this.#db, TASK, limit, send, without)
  }

  /** The oldest first. */
  async list({
    state,
    limit,
  }: {
    state?: OutboxEntry['state'] | undefined
    limit: number
  }): Promise<OutboxEntry[]> {
    await this.#table.prepare()
    const all = this.#here.selectFrom(TABLE).selectAll().where('kind', '=', TASK)
    const wanted = state ? all.where('failed_at', state === 'waiting' ? 'is' : 'is not', null) : all
    const rows = await wanted.orderBy('position').limit(limit).execute()
    return rows.map(({ id, payload, attempts, created_at, failed_at, problem }) => {
      const { resource = null, queue = null } = readPayload(payload)
      const state = failed_at === null ? 'waiting' : 'refused'
      return { id, state, resource, queue, attempts, created_at, refused_at: failed_at, problem }
    })
  }

  /** Has those that were refused for good tried again. @param ids default: all @returns how many */
  async retry(ids?: readonly string[]): Promise<number> {
    await this.#table.prepare()
    const count = await this.#update(ids, ANEW)
    afterCommit(this.#db, this.#added, () => {})
    return count
  }

  /** What is removed is not delivered. @returns how many */
  async remove(ids: readonly string[]): Promise<number> {
    await this.#table.prepare()
    let count = 0
    for (const id of ids.filter((id) => ASCII.test(id))) {
      const { numDeletedRows } = await this.#here
        .deleteFrom(TABLE)
        .where('kind', '=', TASK)
        .where('id', '=', id)
        .executeTakeFirst()
      count += Number(numDeletedRows)
    }
    return count
  }

  async figures(): Promise<OutboxFigures> {
    await this.#table.prepare()
    const { waiting, failed } = await countOutbox(this.#db)
    const since = await oldestInOutbox(this.#db)
    const oldest = since === undefined ? 0 : Math.max(0, Date.now() - Date.parse(since)) / 1000
    return { waiting, refused: failed, oldest }
  }

  get #here(): Db {
    return anyTables(currentTransaction(this.#db) ?? this.#db)
  }

  /** Of those that were refused for good. */
  async #update(ids: readonly string[] | undefined, values: Partial<OutboxRow>): Promise<number> {
    const refused = this.#here
      .updateTable(TABLE)
      .set(values as never)
      .where('kind', '=', TASK)
      .where('failed_at', 'is not', null)
    const known = ids?.filter((id) => ASCII.test(id))
    const some = known ? refused.where('id', 'in', [...known, '']) : refused
    const { numUpdatedRows } = await some.executeTakeFirstOrThrow()
    return Number(numUpdatedRows)
  }
}

/** As if nobody had refused it. */
const ANEW = { failed_at: null, attempts: 0, problem: null }

function readPayload(payload: string): { resource?: string; queue?: string } {
  try {
    const { queue, data }: TaskTree = JSON.parse(payload)
    return { queue, resource: data.resource }
  } catch {
    return {}
  }
}
