import { type Kysely, sql } from 'kysely'
import { inBatches, insertMissing } from './insert.ts'
import { MadeTables } from './own-tables.ts'
import { dialectOf, instant, portable } from './portable.ts'
import type { Timestamp } from './types.ts'

interface Row {
  id: string
  /** Whose it is, where a table has that. */
  token: string
  value: string
  expires_at: Timestamp
}

/** Whatever the table is called. */
interface Tables {
  rows: Row
}

/** A text that lives for `ttl` ms. */
export interface Expiring {
  /** 1 to 64 characters of ASCII. */
  readonly id: string
  readonly value: string
  readonly ttl: number
}

/** One that only who made it changes. */
export interface Owned extends Expiring {
  /** As an id. */
  readonly token: string
}

/** Which part of its time has to be over before a row is written again that was read, so that not every read writes. */
const WORTH_WRITING = 0.1
/** How often one is looked for that was gone when it was to be read. */
const TRIES = 5
/** How many that are over are put away at once: more than come meanwhile. */
const SWEPT = 20

/**
 * Texts that live for a time, for all processes that share a database: in a table of their own, which is made where it is missing, at the
 * latest with the first of them. Each that is added puts away some of those that are over, as nobody reads them.
 */
export class ExpiringRows {
  readonly #table: 'rows'
  readonly #tables: MadeTables<Tables>
  #sweeps = false

  /** @param table its name; `owned`: whether its rows have tokens */
  constructor(db: Kysely<never>, table: string, { owned = false }: { owned?: boolean } = {}) {
    this.#table = table as 'rows'
    this.#tables = new MadeTables(db as unknown as Kysely<Tables>, {
      names: [this.#table],
      make: (db) => createTable(db, this.#table, owned),
    })
  }

  /** Makes the table where it is missing; many processes may do so at once. */
  async prepare(): Promise<void> {
    await this.#tables.prepare()
  }

  async add(rows: readonly Expiring[]): Promise<void> {
    const db = await this.#sweep()
    await db
      .insertInto(this.#table)
      .values(rows.map((row) => toRow(row) as never))
      .execute()
  }

  /** Adds it where none of its id lives, in one step, for all who do so at once; else it is what is there. */
  async addMissing(row: Owned): Promise<string | undefined> {
    for (let tries = 1; ; tries++) {
      const db = await this.#sweep()
      if ((await insertMissing(db, this.#table, [toRow(row) as never], 'id')) === 1)
        return undefined
      const there = await db
        .selectFrom(this.#table)
        .select(['value', 'expires_at'])
        .where('id', '=', row.id)
        .executeTakeFirst()
      if (there && Date.parse(there.expires_at) > Date.now()) return there.value
      if (there) await this.#putAway(db, row.id)
      if (tries === TRIES) throw new Error('a row that was there is gone again and again')
    }
  }

  /** The value that lives, which goes on to live for `ttl` ms; what is removed meanwhile stays away. */
  async read(id: string, ttl: number): Promise<string | undefined> {
    const db = await this.#tables.prepare()
    const now = Date.now()
    const row = await db
      .selectFrom(this.#table)
      .select(['value', 'expires_at'])
      .where('id', '=', id)
      .where('expires_at', '>', instant(new Date(now)))
      .executeTakeFirst()
    if (row && now + ttl - Date.parse(row.expires_at) > ttl * WORTH_WRITING)
      await db
        .updateTable(this.#table)
        .set({ expires_at: new Date(now + ttl) })
        .where('id', '=', id)
        .execute()
    return row?.value
  }

  /** Those whose ids are between two others. */
  async between(after: string, before: string): Promise<{ id: string; value: string }[]> {
    const db = await this.#tables.prepare()
    return await db
      .selectFrom(this.#table)
      .select(['id', 'value'])
      .where('id', '>', after)
      .where('id', '<', before)
      .execute()
  }

  /** Another value, and another life, for the one that has this token; it is added where none of its id lives. */
  async replace(row: Owned): Promise<void> {
    const db = await this.#tables.prepare()
    const { value, expires_at } = toRow(row)
    const { numUpdatedRows } = await db
      .updateTable(this.#table)
      .set({ value, expires_at })
      .where('id', '=', row.id)
      .where('token', '=', row.token)
      .executeTakeFirst()
    if (numUpdatedRows === 0n) await this.addMissing(row)
  }

  async remove(ids: readonly string[]): Promise<void> {
    const db = await this.#tables.prepare()
    for (const batch of inBatches(ids, 1000))
      await db.deleteFrom(this.#table).where('id', 'in', batch).execute()
  }

  /** The one that has this token. */
  async removeOwned(id: string, token: string): Promise<void> {
    const db = await this.#tables.prepare()
    await db.deleteFrom(this.#table).where('id', '=', id).where('token', '=', token).execute()
  }

  /**
   * One by one: to delete all that are over MySQL would lock what follows them, too, where others add theirs. Not within a transaction,
   * which may have begun before the table was there, and be under way for long.
   */
  async #sweep(): Promise<Kysely<Tables>> {
    const db = await this.#tables.prepare()
    if (this.#sweeps || db.isTransaction) return db
    this.#sweeps = true
    try {
      const over = await db
        .selectFrom(this.#table)
        .select('id')
        .where('expires_at', '<=', instant(new Date(Date.now())))
        .orderBy('expires_at')
        .limit(SWEPT)
        .execute()
      for (const { id } of over) await this.#putAway(db, id)
    } finally {
      this.#sweeps = false
    }
    return db
  }

  /** If it is over. */
  async #putAway(db: Kysely<Tables>, id: string): Promise<void> {
    await db
      .deleteFrom(this.#table)
      .where('id', '=', id)
      .where('expires_at', '<=', instant(new Date(Date.now())))
      .execute()
  }
}

async function createTable(db: Kysely<Tables>, table: 'rows', owned: boolean): Promise<void> {
  const { createTable, types } = portable(db)
  const isMysql = dialectOf(db) === 'mysql'
  // Differing by case.
  const id = isMysql ? sql`varchar(64) character set ascii collate ascii_bin` : 'varchar(64)'
  const made = createTable(table)
    .ifNotExists()
    .addColumn('id', id, (id) => id.primaryKey())
    .addColumn('value', isMysql ? sql`mediumtext` : 'text', (value) => value.notNull())
    .addColumn('expires_at', types.timestamp, (expires) => expires.notNull())
    // An index that both databases make with the table.
    .addUniqueConstraint(`${table}_expires`, ['expires_at', 'id'])
  await (owned ? made.addColumn('token', id, (token) => token.notNull()) : made).execute()
}

function toRow({ ttl, ...row }: Expiring) {
  return { ...row, expires_at: new Date(Date.now() + ttl) }
}
