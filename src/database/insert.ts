import {
  type CompiledQuery,
  type Insertable,
  type InsertQueryBuilder,
  type InsertResult,
  type Kysely,
  type QueryResult,
  sql,
} from 'kysely'
import { withDeleted } from './model/query/hide.ts'
import { dialectOf } from './portable.ts'
import { inTransaction } from './transaction.ts'
import { isUniqueViolation } from './violations.ts'

/** Of one insert. SQLite takes 32,766 in a statement; fewer do with less memory and are as fast. */
export const MAX_PARAMETERS = 8000
// A model may fill in five more columns.
const MAX_ROWS = 4000

/**
 * Inserts the rows whose key does not exist yet and leaves those that exist as they are; all in one
 * transaction, which is a part of the one that `db` is. Any other problem (another unique key that is taken, a value that
 * does not fit, a broken reference) is an error, as with a plain insert.
 *
 * @param rows all with the same columns, of plain values
 * @param key the column with the primary or a unique key that decides
 * @returns how many were new
 */
export async function insertMissing<DB, T extends keyof DB & string>(
  db: Kysely<DB>,
  table: T,
  rows: readonly Insertable<DB[T]>[],
  key: keyof DB[T] & string,
): Promise<number> {
  const fitting = Math.floor(MAX_PARAMETERS / Object.keys(rows[0] ?? key).length)
  const size = Math.min(MAX_ROWS, Math.max(1, fitting))
  const write = async (db: Kysely<Tables>) => {
    const target: Target = { db, table, key, compiled: new Map() }
    let added = 0
    for (const batch of inBatches(rows as readonly Row[], size))
      added += await insertBatch(target, batch)
    return added
  }
  const tables = db as unknown as Kysely<Tables>
  // One row is all or nothing by itself.
  return rows.length > 1 ? await inTransaction(tables, write) : await write(tables)
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
  /** The statement by its number of rows: to compile one takes much longer than to bind its values. */
  compiled: Map<number, CompiledQuery>
}

function insertBatch(target: Target, rows: Row[]): Promise<number> {
  if (dialectOf(target.db) === 'sqlite') return onConflict(target, rows)
  return rows.length === 1 ? insertOne(target, rows) : onDuplicateKey(target, rows)
}

async function onConflict(target: Target, rows: Row[]): Promise<number> {
  const { numAffectedRows } = await insert(target, rows, (query) =>
    query.onConflict((on) => on.column(target.key).doNothing()),
  )
  return Number(numAffectedRows)
}

/**
 * For MySQL, which cannot be told whose duplicate is to be passed over (and `insert ignore` turns every error into a
 * warning), and whose count of affected rows has those that were there already in it. So they are counted before and after:
 * where some are missing then, their duplicate may have been of another key, and each row is tried by itself.
 */
async function onDuplicateKey(target: Target, rows: Row[]): Promise<number> {
  const keys = [...new Set(rows.map((row) => row[target.key]))]
  const before = await countKeys(target, keys)
  await insert(target, rows, (query) =>
    query.onDuplicateKeyUpdate(({ ref }) => ({ [target.key]: ref(target.key) })),
  )
  const after = await countKeys(target, keys)
  let added = after - before
  if (after < keys.length) for (const row of rows) added += await insertOne(target, [row])
  return added
}

async function countKeys({ db, table, key }: Target, keys: readonly unknown[]): Promise<number> {
  const { there } = await withDeleted(db)
    .selectFrom(table)
    .select(({ fn }) => fn.countAll<number>().as('there'))
    .where(key, 'in', keys)
    .executeTakeFirstOrThrow()
  return there
}

/** Whether it was new. @throws where a duplicate is of another key */
async function insertOne(target: Target, rows: [Row] | Row[]): Promise<0 | 1> {
  try {
    await insert(target, rows, (query) => query)
    return 1
  } catch (error) {
    if (!isUniqueViolation(error)) throw error
    const { db, table, key } = target
    // Locked: read as of now, and not as of the transaction's beginning.
    const there = await withDeleted(db)
      .selectFrom(table)
      .select(key)
      .where(key, '=', rows[0]?.[key])
      .modifyEnd(sql`lock in share mode`)
      .executeTakeFirst()
    if (!there) throw error
    return 0
  }
}

type Insert = InsertQueryBuilder<Tables, string, InsertResult>

function insert(
  { db, table, compiled }: Target,
  rows: Row[],
  otherwise: (query: Insert) => Insert,
): Promise<QueryResult<unknown>> {
  const columns = Object.keys(rows[0] ?? {})
  const known = compiled.get(rows.length)
  if (known) {
    const parameters = rows.flatMap((row) => columns.map((column) => row[column]))
    return db.executeQuery({ ...known, parameters })
  }
  const query = otherwise(db.insertInto(table).values(rows)).compile()
  // Otherwise its model has filled in something, which differs from row to row where it is a UUID.
  if (query.parameters.length === rows.length * columns.length) compiled.set(rows.length, query)
  return db.executeQuery(query)
}
