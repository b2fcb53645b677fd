import { checkSql, quoteName } from '../../dialect/ddl.ts'
import { checkName } from '../../schema/names.ts'
import type { ColumnState } from '../../schema/state.ts'
import { askWhether, constraintExists } from './happened.ts'
import type { Statement } from './steps.ts'

export const name = (plain: string) => quoteName(plain, 'mysql')

export const statement = (sql: string, ...facts: string[]): Statement => ({
  sql,
  happened: askWhether(...facts),
})

export const alter = (table: string, ...changes: string[]) =>
  `alter table ${name(table)} ${changes.join(', ')}`

export const addCheck = (table: string, column: string, definition: ColumnState) =>
  checkSql(table, column, definition, 'mysql').map((check) => `add ${check}`)

export const dropCheck = (table: string, column: string, { values }: ColumnState) =>
  values ? [`drop constraint ${name(checkName(table, column))}`] : []

export const checkExists = (table: string, column: string) =>
  constraintExists(table, checkName(table, column), 'CHECK')
