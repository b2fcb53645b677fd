import type { SchemaState, TableState } from '../../schema/state.ts'
import type { Operation } from '../operations.ts'

/** An operation that is compiled for each database. */
export type SchemaOperation = Exclude<Operation, { type: 'runSql' | 'runData' }>

/** One that is about a column of its own: what is done to several of a table can be done at once. */
export type ColumnOperation = Of<'addColumn' | 'dropColumn' | 'alterColumn'>

/** The operation of that type. */
export type Of<Type extends Operation['type']> = Extract<Operation, { type: Type }>

/**
 * Refuses what one database would do and the other would not, or not in the same way.
 *
 * @param before a state that `operation` can be replayed on
 * @throws {Error} with what has to be done first
 */
export function refuseMisfit(operation: SchemaOperation, before: SchemaState): void {
  if (operation.type === 'addColumn' && operation.definition.generated) {
    throw new Error(
      `${operation.table}.${operation.column} is generated: a table gets its generated column when it is created`,
    )
  }
  if (operation.type === 'dropTable') refuseReferences(operation.table, before)
  if (operation.type === 'dropColumn') {
    refuseUse(operation.column, before[operation.table] as TableState)
    refuseReferences(operation.table, before, operation.column)
  }
}

function refuseUse(column: string, { primaryKey, ...table }: TableState): void {
  if (primaryKey.includes(column)) {
    throw new Error(`${column} is part of the primary key, which cannot be changed`)
  }
  const all = [...(table.indexes ?? []), ...(table.unique ?? []), ...(table.foreignKeys ?? [])]
  const user = all.find(({ columns }) => columns.includes(column))
  if (user) throw new Error(`${user.name} is on ${column}: drop it first`)
}

function refuseReferences(table: string, schema: SchemaState, column?: string): void {
  for (const [other, { foreignKeys = [] }] of Object.entries(schema)) {
    // A table's own foreign keys go with it, but not with a column.
    if (other === table && column === undefined) continue
    const key = foreignKeys.find(
      (key) => key.table === table && (column === undefined || key.references.includes(column)),
    )
    if (key) throw new Error(`${key.name} of ${other} refers to it: drop that foreign key first`)
  }
}
