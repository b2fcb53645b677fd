import type { Insertable, Kysely } from 'kysely'

// SQLite takes 32,766 in a statement; fewer do with less memory and are as fast.
const MAX_PARAMETERS = 8000

/**
 * Inserts the rows whose key does not exist yet and leaves those that exist as they are; all in one
 * transaction. Any other problem (a value that does not fit, a broken reference) is an error, as with a plain
 * insert.
 *
 * @param rows all with the same columns
 * @param key the column with the primary or a unique key that decides
 * @returns how many were new; on MySQL a row that another connection inserts meanwhile may be counted too
 */
export async function insertMissing<DB, T extends keyof DB & string>(
  db: Kysely<DB>,
  table: T,
  rows: readonly Insertable<DB[T]>[],
  key: keyof DB[T] & string,
): Promise<number> {
  const insert = db.getExecutor().adapter.supportsReturning ? onConflict : onDuplicateKey
  const size = Math.max(1, Math.floor(MAX_PARAMETERS / Object.keys(rows[0] ?? key).length))
  return await inTransaction(db as unknown as Kysely<Tables>, async (db) => {
    let added = 0
    for (const batch of inBatches(rows as readonly Row[], size)) {
      added += await insert({ db, table, key }, batch)
    }
    return added
  })
}

function inTransaction<DB, T>(db: Kysely<DB>, work: (db: Kysely<DB>) => Promise<T>): Promise<T> {
  return db.isTransaction ? work(db) : db.transaction().execute(work)
}

/** Cuts `rows` into arrays of `size`, the last one shorter, and passes over the first `skip` rows. */
export function* inBatches<T>(rows: Iterable<T>, size: number, skip = 0): Generator<T[]> {
  let index = 0
  let batch: T[] = []
  for (const row of rows) {
    if (index++ < skip) continue
    if (batch.push(row) < size) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

type Row = Record<string, unknown>
type Tables = Record<string, Row>

interface Target {
  db: Kysely<Tables>
  table: string
  key: string
}

/** For SQLite (Kysely's adapter tells it by `returning`, which MySQL does not have). */
async function onConflict({ db, table, key }: Target, rows: Row[]): Promise<number> {
  const conflict = db
    .insertInto(table)
    .values(rows)
    .onConflict((on) => on.column(key).doNothing())
  const { numInsertedOrUpdatedRows } = await conflict.executeTakeFirstOrThrow()
  return Number(numInsertedOrUpdatedRows)
}

/**
 * For MySQL. Not `insert ignore`, which turns every error into a warning. The driver's count of affected
 * rows has those that were there already in it, so these are counted before.
 */
async function onDuplicateKey({ db, table, key }: Target, rows: Row[]): Promise<number> {
  const keys = [...new Set(rows.map((row) => row[key]))]
  const { there } = await db
    .selectFrom(table)
    .select(({ fn }) => fn.countAll<number>().as('there'))
    .where(key, 'in', keys)
    .executeTakeFirstOrThrow()
  const same = ({ ref }: { ref: (column: string) => unknown }) => ({ [key]: ref(key) })
  await db.insertInto(table).values(rows).onDuplicateKeyUpdate(same).execute()
  return keys.length - Number(there)
}
