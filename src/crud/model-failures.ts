import { sql } from 'kysely'
import type { Violation } from '../database/dialect/errors.ts'
import { withoutModels } from '../database/model/query/hide.ts'
import type { Model } from '../database/model/types.ts'
import { checkName } from '../database/schema/names.ts'
import { invalid, violationOf } from '../database/violations.ts'
import { type ErrorDetail, errors } from '../errors.ts'
import type { AnyTables, Values } from './model-write.ts'

/** What was to be written, for a message about what stands against it. */
export interface Attempt {
  db: AnyTables
  model: Model
  /** What a row is called. */
  noun: string
  rows: readonly Values[]
  /** The columns whose names no client is told. */
  hidden: readonly string[]
  /** Where the request is a list of rows: the keys of those that were inserted before the statement that failed. */
  inserted?: readonly Values[]
}

/**
 * Runs `write`, and says of what the database refuses what it means to the client.
 *
 * @throws {PlinthError} CONFLICT where a unique key is taken, or the row is still referred to; INVALID_REQUEST
 *   where it refers to a row that is not there, or has a value that its column does not take
 */
export async function explainRefusal<T>(attempt: Attempt, write: () => Promise<T>): Promise<T> {
  try {
    return await write()
  } catch (cause) {
    const violation = violationOf(cause)
    if (!violation) throw cause
    if (violation.kind === 'unique') throw await taken(attempt, cause as Error)
    if (violation.kind === 'value') throw refused(attempt, violation, cause as Error)
    throw await broken(attempt, cause as Error)
  }
}

function refused(
  { model, noun, inserted, hidden }: Attempt,
  violation: Violation,
  cause: Error,
): Error {
  const { column = checked(model, cause.message), row = 1, problem = '' } = violation
  const list = inserted ? `/${inserted.length + row - 1}` : ''
  // Where it does not say which row, it may have been any.
  const place = inserted && violation.row === undefined ? '' : list
  const path = column === undefined || hidden.includes(column) ? place : `${place}/${column}`
  return invalid(cause, noun, { path, message: problem })
}

/** The column whose check an error names. MariaDB calls that of a column `city.kind`. */
function checked({ table, state }: Model, message: string): string | undefined {
  return Object.keys(state.columns).find(
    (name) => message.includes(checkName(table, name)) || message.includes(`\`${table}.${name}\``),
  )
}

async function taken(attempt: Attempt, cause: Error): Promise<Error> {
  const { noun, inserted, hidden } = attempt
  const columns = (await columnsOf(attempt, cause.message)).filter((name) => !hidden.includes(name))
  const message = 'is taken already'
  return errors.CONFLICT.with(
    // Which row of many it was, the database does not say.
    inserted
      ? { cause }
      : { cause, errors: columns.map((name) => ({ path: `/${name}`, message })) },
    `There is another ${noun} with the same ${columns.join(' and ') || 'values'}; choose another, or change that one`,
  )
}

/** The columns of the key that an error names: SQLite by its columns, MySQL by the key's name, with that of its table or without. */
async function columnsOf({ db, model }: Attempt, message: string): Promise<readonly string[]> {
  const { table, state } = model
  const [, given] = /.* for key '(.+)'$/s.exec(message) ?? []
  if (given === undefined) {
    const [, list = ''] = /failed: (.+)$/s.exec(message) ?? []
    const named = list.split(', ').map((column) => column.slice(table.length + 1))
    return named.every((column) => column in state.columns) ? named : state.primaryKey
  }
  const name = given.startsWith(`${table}.`) ? given.slice(table.length + 1) : given
  if (name === 'PRIMARY') return state.primaryKey
  const key = state.unique?.find((one) => one.name === name)
  return key?.columns ?? (await columnsOfIndex(db, table, name)) ?? state.primaryKey
}

/** What the database itself says of a key: a name that nobody has given stays when its table or columns are renamed. */
async function columnsOfIndex(db: AnyTables, table: string, index: string) {
  const { rows } = await sql<{ name: string }>`
    select column_name as name from information_schema.statistics
    where table_schema = database() and table_name = ${table} and index_name = ${index}
    order by seq_in_index`.execute(db)
  return rows.length > 0 ? rows.map(({ name }) => name) : undefined
}

async function broken(attempt: Attempt, cause: Error): Promise<Error> {
  const detail = await findMissing(attempt)
  if (detail) return invalid(cause, attempt.noun, detail)
  return errors.CONFLICT.with(
    { cause },
    `The ${attempt.noun} is still referred to; change or delete what refers to it first`,
  )
}

/** The first reference to a row that is not there. Only asked when something has failed. */
async function findMissing(attempt: Attempt): Promise<ErrorDetail | undefined> {
  const { db, model, rows, inserted } = attempt
  const known = new Set<string>()
  for (const [index, row] of rows.entries()) {
    for (const { columns, table, references } of model.state.foreignKeys ?? []) {
      const values = columns.map((name) => row[name] ?? null)
      const key = JSON.stringify([table, references, values])
      if (values.includes(null) || known.has(key)) continue
      known.add(key)
      let query = withoutModels(db)
        .selectFrom(table)
        .select(references[0] as string)
      for (const [i, reference] of references.entries())
        query = query.where(reference, '=', values[i])
      if (await query.executeTakeFirst()) continue
      const place = inserted ? `/${index}/${columns[0]}` : `/${columns[0]}`
      return { path: place, message: `there is no ${table} ${values.join(', ')}` }
    }
  }
  return undefined
}
