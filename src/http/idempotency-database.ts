import { type Kysely, sql } from 'kysely'
import { currentTransaction } from '../database/current-transaction.ts'
import { insertMissing } from '../database/insert.ts'
import { dialectOf, instant, portable } from '../database/portable.ts'
import type { Timestamp } from '../database/types.ts'
import type { IdempotencyStore, KeptRequest } from './idempotency-store.ts'

interface Row {
  id: string
  token: string
  value: string
  expires_at: Timestamp
}

interface Tables {
  plinth_idempotency: Row
}

const TABLE = 'plinth_idempotency'
/** How often one is looked for that was gone when it was to be read. */
const TRIES = 5

/** For all processes that share a database: in a table of its own, which is made with the first request where it is missing. */
export class DatabaseIdempotency implements IdempotencyStore {
  readonly #db: Kysely<Tables>
  #prepared: Promise<void> | undefined

  constructor(db: Kysely<never>) {
    this.#db = db as unknown as Kysely<Tables>
  }

  async begin(id: string, request: KeptRequest, lease: number): Promise<KeptRequest | undefined> {
    const db = await this.#open()
    const { token } = request
    for (let tries = 1; ; tries++) {
      const now = Date.now()
      // What is over keeps nobody away, and is read by nobody.
      await db
        .deleteFrom(TABLE)
        .where('expires_at', '<=', instant(new Date(now)))
        .execute()
      const expires_at = new Date(now + lease)
      const row = { id, token, value: JSON.stringify(request), expires_at }
      if ((await insertMissing(db, TABLE, [row as never], 'id')) === 1) return undefined
      const there = await db
        .selectFrom(TABLE)
        .select('value')
        .where('id', '=', id)
        .executeTakeFirst()
      if (there) return JSON.parse(there.value)
      if (tries === TRIES) throw new Error('a row that was there is gone again and again')
    }
  }

  async finish(id: string, request: KeptRequest, ttl: number): Promise<void> {
    const db = await this.#open()
    await db
      .updateTable(TABLE)
      .set({ value: JSON.stringify(request), expires_at: new Date(Date.now() + ttl) as never })
      .where('id', '=', id)
      .where('token', '=', request.token)
      .execute()
  }

  async release(id: string, token: string): Promise<void> {
    const db = await this.#open()
    await db.deleteFrom(TABLE).where('id', '=', id).where('token', '=', token).execute()
  }

  /** Within the transaction of the code under way, as SQLite has one connection. */
  async #open(): Promise<Kysely<Tables>> {
    this.#prepared ??= createTable(this.#db).catch((error) => {
      this.#prepared = undefined
      throw error
    })
    await this.#prepared
    return currentTransaction(this.#db) ?? this.#db
  }
}

async function createTable(db: Kysely<Tables>): Promise<void> {
  const tables = await db.introspection.getTables()
  if (tables.some(({ name }) => name === TABLE)) return
  const { createTable, types } = portable(db)
  const isMysql = dialectOf(db) === 'mysql'
  // Differing by case.
  const id = isMysql ? sql`varchar(64) character set ascii collate ascii_bin` : 'varchar(64)'
  await createTable(TABLE)
    .ifNotExists()
    .addColumn('id', id, (id) => id.primaryKey())
    .addColumn('token', id, (token) => token.notNull())
    .addColumn('value', isMysql ? sql`mediumtext` : 'text', (value) => value.notNull())
    .addColumn('expires_at', types.timestamp, (expires) => expires.notNull())
    // An index that both databases make with the table.
    .addUniqueConstraint('plinth_idempotency_expires', ['expires_at', 'id'])
    .execute()
}
