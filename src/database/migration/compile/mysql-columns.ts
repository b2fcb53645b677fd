import { isDeepStrictEqual } from 'node:util'
import { columnSql } from '../../schema/sql.ts'
import type { ColumnState } from '../../schema/state.ts'
import { columnExists, constraintExists, exactColumnExists, not } from './happened.ts'
import type { Of } from './misfit.ts'
import { addCheck, alter, checkExists, dropCheck, name, statement } from './mysql-words.ts'
import type { Statement } from './steps.ts'

// MySQL gives the rows that are there 0 or '' where nobody said a value. This check, which no row passes, makes it
// refuse instead, as SQLite does, and its name is in the error.
const NO_ROWS = 'existing_rows_need_a_default'

export function addColumn({ table, column, definition }: Of<'addColumn'>): Statement[] {
  const changes = [
    `add column ${columnSql(column, definition, 'mysql')}`,
    ...addCheck(table, column, definition),
  ]
  const there = columnExists(table, column)
  if (definition.nullable || definition.default !== undefined) {
    return [statement(alter(table, ...changes), there)]
  }
  return [
    statement(alter(table, ...changes, `add constraint ${NO_ROWS} check (1 < 1)`), there),
    statement(
      alter(table, `drop constraint ${NO_ROWS}`),
      not(constraintExists(table, NO_ROWS, 'CHECK')),
    ),
  ]
}

export function dropColumn(
  { table, column }: Of<'dropColumn'>,
  definition: ColumnState,
): Statement {
  return statement(
    alter(table, ...dropCheck(table, column, definition), `drop column ${name(column)}`),
    not(columnExists(table, column)),
  )
}

export function alterColumn(
  { table, column, to }: Of<'alterColumn'>,
  from: ColumnState,
): Statement {
  const isSame = isDeepStrictEqual(from.values, to.values)
  const sql = (words: string) =>
    alter(
      table,
      ...(isSame ? [] : dropCheck(table, column, from)),
      `modify column ${columnSql(column, to, 'mysql')}${words}`,
      ...(isSame ? [] : addCheck(table, column, to)),
    )
  const known = typeof from.type === 'object' ? from.type.mysql : ''
  const modified = { table, column, known, sql }
  if (isSame || (from.values && to.values)) return { sql: sql(''), modified, repeatable: true }
  const check = checkExists(table, column)
  return { ...statement(sql(''), to.values ? check : not(check)), modified }
}

export function renameColumn(
  { table, from, to }: Of<'renameColumn'>,
  definition: ColumnState,
): Statement {
  const sql = alter(
    table,
    ...dropCheck(table, from, definition),
    `rename column ${name(from)} to ${name(to)}`,
    ...addCheck(table, to, definition),
  )
  return statement(sql, exactColumnExists(table, to), not(exactColumnExists(table, from)))
}
