import type {
  CompiledQuery,
  Insertable,
  InsertQueryBuilder,
  InsertResult,
  Kysely,
  QueryResult,
} from 'kysely'
import { withDeleted } from './model/soft-delete.ts'
import { inTransaction } from './transaction.ts'

/** Of one insert. SQLite takes 32,766 in a statement; fewer do with less memory and are as fast. */
export const MAX_PARAMETERS = 8000
// A model may fill in five more columns.
const MAX_ROWS = 4000

/**
 * Inserts the rows whose key does not exist yet and leaves those that exist as they are; all in one
 * transaction. Any other problem (a value that does not fit, a broken reference) is an error, as with a plain
 * insert.
 *
 * @param rows all with the same columns, of plain values
 * @param key the column with the primary or a unique key that decides
 * @returns how many were new; on MySQL a row that another connection inserts meanwhile may be counted too
 */
export async function insertMissing<DB, T extends keyof DB & string>(
  db: Kysely<DB>,
  table: T,
  rows: readonly Insertable<DB[T]>[],
  key: keyof DB[T] & string,
): Promise<number> {
  const write = db.getExecutor().adapter.supportsReturning ? onConflict : onDuplicateKey
  const fitting = Math.floor(MAX_PARAMETERS / Object.keys(rows[0] ?? key).length)
  const size = Math.min(MAX_ROWS, Math.max(1, fitting))
  return await inTransaction(db as unknown as Kysely<Tables>, async (db) => {
    const target: Target = { db, table, key, compiled: new Map() }
    let added = 0
    for (const batch of inBatches(rows as readonly Row[], size)) added += await write(target, batch)
    return added
  })
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

/** For SQLite (Kysely's adapter tells it by `returning`, which MySQL does not have). */
async function onConflict(target: Target, rows: Row[]): Promise<number> {
  const { numAffectedRows } = await insert(target, rows, (query) =>
    query.onConflict((on) => on.column(target.key).doNothing()),
  )
  return Number(numAffectedRows)
}

/**
 * For MySQL. Not `insert ignore`, which turns every error into a warning. The driver's count of affected
 * rows has those that were there already in it, so these are counted before.
 */
async function onDuplicateKey(target: Target, rows: Row[]): Promise<number> {
  const { db, table, key } = target
  const keys = [...new Set(rows.map((row) => row[key]))]
  const { there } = await withDeleted(db)
    .selectFrom(table)
    .select(({ fn }) => fn.countAll<number>().as('there'))
    .where(key, 'in', keys)
    .executeTakeFirstOrThrow()
  await insert(target, rows, (query) =>
    query.onDuplicateKeyUpdate(({ ref }) => ({ [key]: ref(key) })),
  )
  return keys.length - there
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
