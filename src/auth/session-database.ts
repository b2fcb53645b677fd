import { type Kysely, sql } from 'kysely'
import { currentTransaction } from '../database/current-transaction.ts'
import { inBatches } from '../database/insert.ts'
import { dialectOf, instant, portable } from '../database/portable.ts'
import type { Timestamp } from '../database/types.ts'
import type { SessionGroups, SessionStore } from './session-store.ts'

interface SessionRow {
  id: string
  value: string
  expires_at: Timestamp
}

interface SessionTables {
  plinth_session: SessionRow
}

const TABLE = 'plinth_session'
/** Which part of its time has to be over before a row is written again, so that not every request writes. */
const WORTH_WRITING = 0.1

/** A table of its own, which is made where it is missing, at the latest with the first session. Groups are in rows of it, too. */
export class DatabaseStore implements SessionStore {
  readonly #db: Kysely<SessionTables>
  #prepared: Promise<void> | undefined

  constructor(db: Kysely<never>) {
    this.#db = db as unknown as Kysely<SessionTables>
  }

  /** Makes the table where it is missing; many processes may do so at once. */
  prepare(): Promise<void> {
    this.#prepared ??= createTable(this.#db).catch((error) => {
      this.#prepared = undefined
      throw error
    })
    return this.#prepared
  }

  async add(id: string, value: string, ttl: number, groups?: SessionGroups): Promise<void> {
    const db = await this.#open()
    const now = Date.now()
    // Nobody reads what is over, so it is put away here.
    await db
      .deleteFrom(TABLE)
      .where('expires_at', '<=', instant(new Date(now)))
      .execute()
    const members = (groups?.names ?? []).map((name) => ({
      id: memberOf(name, id),
      value: id,
      expires_at: new Date(now + (groups?.ttl ?? 0)),
    }))
    await db
      .insertInto(TABLE)
      .values([{ id, value, expires_at: new Date(now + ttl) }, ...members])
      .execute()
  }

  async read(id: string, ttl: number): Promise<string | undefined> {
    const db = await this.#open()
    const now = Date.now()
    const row = await db
      .selectFrom(TABLE)
      .select(['value', 'expires_at'])
      .where('id', '=', id)
      .where('expires_at', '>', instant(new Date(now)))
      .executeTakeFirst()
    if (row && now + ttl - Date.parse(row.expires_at) > ttl * WORTH_WRITING)
      await db
        .updateTable(TABLE)
        .set({ expires_at: new Date(now + ttl) })
        .where('id', '=', id)
        .execute()
    return row?.value
  }

  async delete(id: string): Promise<void> {
    const db = await this.#open()
    await db.deleteFrom(TABLE).where('id', '=', id).execute()
  }

  async deleteGroup(name: string): Promise<void> {
    const db = await this.#open()
    const members = await db
      .selectFrom(TABLE)
      .select(['id', 'value'])
      .where('id', '>', memberOf(name, ''))
      .where('id', '<', memberOf(name, '~'))
      .execute()
    const ids = members.flatMap(({ id, value }) => [id, value])
    for (const batch of inBatches(ids, 1000))
      await db.deleteFrom(TABLE).where('id', 'in', batch).execute()
  }

  /** Within the transaction of the code under way, as SQLite has one connection. */
  async #open(): Promise<Kysely<SessionTables>> {
    await this.prepare()
    return currentTransaction(this.#db) ?? this.#db
  }
}

/**
 * The id of a row that says of a session that it is in a group: with half of the name, which is a digest and as good as all of it, for
 * both to fit. The members of a group are beside each other.
 */
function memberOf(name: string, session: string): string {
  return `${name.slice(0, 20)}.${session}`
}

async function createTable(db: Kysely<SessionTables>): Promise<void> {
  const tables = await db.introspection.getTables()
  if (tables.some(({ name }) => name === TABLE)) return
  const { createTable, types } = portable(db)
  const isMysql = dialectOf(db) === 'mysql'
  await createTable(TABLE)
    .ifNotExists()
    // Differing by case.
    .addColumn(
      'id',
      isMysql ? sql`varchar(64) character set ascii collate ascii_bin` : 'varchar(64)',
      (id) => id.primaryKey(),
    )
    .addColumn('value', isMysql ? sql`mediumtext` : 'text', (value) => value.notNull())
    .addColumn('expires_at', types.timestamp, (expires) => expires.notNull())
    // An index that both databases make with the table.
    .addUniqueConstraint('plinth_session_expires', ['expires_at', 'id'])
    .execute()
}
