import { type Kysely, sql } from 'kysely'
import { narrow } from '../database/dialect/values.ts'
import { inBatches, MAX_PARAMETERS } from '../database/insert.ts'
import { uuidv7 } from '../database/model/query/fill.ts'
import type { Model } from '../database/model/types.ts'

/** A database of which only the model knows the tables. */
export type AnyTables = Kysely<Record<string, Record<string, unknown>>>

export type Values = Record<string, unknown>

/** What a row has for columns that nobody says: so that every row of an insert says the same ones. */
export function fallbacks({ state, input }: Model): Values {
  const entries = Object.keys(input.properties).flatMap((name) => {
    const column = state.columns[name]
    const value = column?.default ?? (column?.nullable ? null : undefined)
    // Only the database knows what an expression makes.
    return value === undefined || (typeof value === 'object' && value !== null)
      ? []
      : [[name, value]]
  })
  return Object.fromEntries(entries)
}

/**
 * Inserts rows and tells their primary keys, in the order of the rows. To be called in a transaction where there
 * are many.
 *
 * @param keys where they are put, also of what was inserted before a statement fails
 */
export async function insertRows(
  db: AnyTables,
  model: Model,
  rows: readonly Values[],
  keys: Values[] = [],
) {
  const all = rows.map((row) => ({ ...fallbacks(model), ...newUuids(model), ...row }))
  const size = Math.floor(MAX_PARAMETERS / Object.keys(model.state.columns).length)
  for (const alike of groupAlike(all)) {
    for (const batch of inBatches(alike, size)) keys.push(...(await insertBatch(db, model, batch)))
  }
  return keys
}

function newUuids({ uuids }: Model): Values {
  return Object.fromEntries(uuids.map((name) => [name, uuidv7()]))
}

/** Neighbours that say the same columns: where one says more, SQLite would make the others' default null. */
function groupAlike(rows: readonly Values[]): Values[][] {
  const groups: { names: string; rows: Values[] }[] = []
  for (const row of rows) {
    const names = Object.keys(row).sort().join()
    const last = groups.at(-1)
    if (last?.names === names) last.rows.push(row)
    else groups.push({ names, rows: [row] })
  }
  return groups.map((group) => group.rows)
}

async function insertBatch(db: AnyTables, { table, state }: Model, rows: readonly Values[]) {
  const insert = db.insertInto(table).values(rows)
  const number = state.primaryKey.find((name) => state.columns[name]?.generated)
  if (number === undefined) {
    await insert.execute()
    return rows.map((row) => pick(row, state.primaryKey))
  }
  if (db.getExecutor().adapter.supportsReturning) {
    const made = await insert.returning(number).execute()
    return made.sort((a, b) => ((a[number] as number) < (b[number] as number) ? -1 : 1))
  }
  const { insertId = 0n } = await insert.executeTakeFirstOrThrow()
  const step = rows.length > 1 ? await stepOf(db) : 1
  return rows.map((_, i) => ({ [number]: narrow(insertId + BigInt(i * step)) }))
}

/** By how much MySQL raises the number from row to row: on clusters by more than 1. */
async function stepOf(db: AnyTables): Promise<number> {
  const { rows } = await sql<{ step: number }>`select @@auto_increment_increment as step`.execute(
    db,
  )
  return Number(rows[0]?.step ?? 1)
}

/** The values of `names` alone. */
export function pick(row: Values, names: readonly string[]): Values {
  return Object.fromEntries(names.map((name) => [name, row[name]]))
}
