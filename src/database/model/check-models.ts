import { errors } from '../../errors.ts'
import { checkName } from '../schema/names.ts'
import type { ColumnState, ForeignKeyState, TableState } from '../schema/state.ts'
import { AuditLog } from './audit-log.ts'
import { alike } from './check.ts'
import type { Model } from './model.ts'

/**
 * Checks what the tables of a service have to do with each other: their names, and what foreign keys refer to.
 *
 * @throws {PlinthError} MODEL_INVALID
 */
export function assertModels(models: readonly Model[]): void {
  const tables = new Map<string, TableState>()
  for (const { table, state } of models) {
    // Case tells tables apart on some machines only.
    if (models.some((one) => one.table !== table && alike(one.table, table)) || tables.has(table))
      throw errors.MODEL_INVALID(table, 'there are two of that name; rename one of them')
    tables.set(table, state)
  }
  assertNames(models)
  const logged = models.find(({ isLogged }) => isLogged)
  if (logged && !models.includes(AuditLog))
    throw errors.MODEL_INVALID(
      logged.table,
      `it has audit: 'log', and there is no table for the log; add AuditLog to the models: models: […, AuditLog]`,
    )
  for (const { table, state } of models) {
    for (const key of state.foreignKeys ?? []) {
      const problem = checkReference(key, state, tables)
      if (problem) throw errors.MODEL_INVALID(table, problem)
    }
  }
}

/**
 * MySQL keeps the names of all foreign keys and checks in one list, SQLite those of tables and indexes. Two tables may
 * still have indexes of one name, as existing databases of MySQL do: on SQLite the later one has that of its table before it.
 */
function assertNames(models: readonly Model[]): void {
  const tables = new Map(models.map(({ table }) => [table, table]))
  const constraints = new Map<string, string>()
  for (const { table, state } of models) {
    const { columns, indexes = [], unique = [], foreignKeys = [] } = state
    const checked = Object.entries(columns).filter(([, { values }]) => values)
    const checks = checked.map(([column]) => checkName(table, column))
    for (const { name } of [...indexes, ...unique]) assertFree(name, table, tables)
    for (const name of [...foreignKeys.map((key) => key.name), ...checks]) {
      assertFree(name, table, constraints)
      constraints.set(name, table)
    }
  }
}

function assertFree(name: string, table: string, owners: ReadonlyMap<string, string>): void {
  const owner = owners.get(name)
  if (owner === undefined) return
  throw errors.MODEL_INVALID(
    table,
    `the name ${name} is taken by the table ${owner}; give the key a name of its own`,
  )
}

function checkReference(
  { name, columns, table, references, onUpdate }: ForeignKeyState,
  own: TableState,
  tables: ReadonlyMap<string, TableState>,
): string | undefined {
  const target = tables.get(table)
  if (!target)
    return `${name} refers to the table ${table}, which no model has; add its model, or mend the name`
  const missing = references.find((column) => !(column in target.columns))
  if (missing !== undefined || references.length !== columns.length)
    return `${name} refers to ${table}.${references.join()}; there are ${Object.keys(target.columns).join(', ')}`
  const keys = [target.primaryKey, ...(target.unique ?? []).map((index) => index.columns)]
  if (!keys.some((key) => key.join() === references.join()))
    return `${name} refers to ${table}.${references.join()}, which is neither the primary key nor unique; make it unique`
  const other = columns.findIndex(
    (column, i) => !sameType(own.columns[column], target.columns[references[i] as string]),
  )
  if (other === -1) return onUpdate === 'cascade' ? checkCascade() : undefined
  return `${name} refers from ${columns[other]} (${typeName(own.columns[columns[other] as string])}) to ${table}.${references[other]} (${typeName(target.columns[references[other] as string])}); give both the same type`

  // InnoDB refuses such a key; SQLite would fail with the first update.
  function checkCascade(): string | undefined {
    const wrong = columns.findIndex(
      (column, i) =>
        !own.columns[column]?.nullable && target?.columns[references[i] as string]?.nullable,
    )
    if (wrong === -1) return undefined
    return `${name} has on update cascade from ${table}.${references[wrong]}, which may be null, to ${columns[wrong]}, which may not; make both alike`
  }
}

function sameType(a: ColumnState | undefined, b: ColumnState | undefined): boolean {
  return typeName(a) === typeName(b)
}

function typeName(column: ColumnState | undefined): string {
  const type = typeof column?.type === 'string' ? column.type : JSON.stringify(column?.type)
  return column?.comparison ? `${type} ${column.comparison}` : type
}
