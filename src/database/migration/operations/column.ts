import { isDeepStrictEqual } from 'node:util'
import { checkSql, defaultSql, isComputed, quoteName, quoteNames } from '../../dialect/ddl.ts'
import * as mysql from '../../dialect/mysql/ddl.ts'
import { isComputedFrom, withRenamed } from '../../dialect/sql-text.ts'
import * as sqlite from '../../dialect/sqlite/ddl.ts'
import {
  type ColumnState,
  type ForeignKeyState,
  type IndexState,
  indexesOf,
  normalColumn,
  type SchemaState,
  type TableState,
} from '../../schema/state.ts'
import {
  type DialectName,
  fits,
  isInPlace,
  isText,
  lengthOf,
  type PerDialect,
  type PortableType,
} from '../../schema/types.ts'
import {
  type Algorithms,
  COPY,
  type Code,
  type CompiledStep,
  type Definition,
  type Definitions,
  type Fill,
  INPLACE,
  INSTANT,
  type Of,
  type Operation,
  onTable,
} from './operation.ts'
import {
  assertColumn,
  assertNoColumn,
  changeTable,
  columnOf,
  describeColumn,
  isIndexed,
  mapTables,
  needsValue,
  refuseReferences,
  tableOf,
  without,
} from './state.ts'
import { misfits, noValue } from './trials.ts'

interface Filling {
  readonly fill?: Fill | undefined
}

const filling = ({ fill }: Filling = {}) => (fill === undefined ? {} : { fill })

const defined =
  (type: 'addColumn' | 'dropColumn') =>
  (table: string, column: string, definition: ColumnState, options?: Filling): Operation => ({
    type,
    table,
    column,
    definition,
    ...filling(options),
  })

/** @param options `fill`: what the rows get that are there; default: its default */
export const addColumn = defined('addColumn')

/**
 * @param definition what it was, for the way back
 * @param options `fill`: what rows get on the way back; default: its default
 */
export const dropColumn = defined('dropColumn')

/** @param change `fill`: what rows get that are null, where it may not be null any more; default: its default */
export const alterColumn = (
  table: string,
  column: string,
  { from, to, ...options }: { from: ColumnState; to: ColumnState } & Filling,
): Operation => ({ type: 'alterColumn', table, column, from, to, ...filling(options) })

/** Renames a column; its values stay. */
export const renameColumn = (table: string, from: string, to: string): Operation => ({
  type: 'renameColumn',
  table,
  from,
  to,
})

/** One that is about a column of its own: what is done to several of a table can be done at once. */
export type ColumnOperation = Of<'addColumn' | 'dropColumn' | 'alterColumn'>

export function isOfColumn(operation: Operation | undefined): operation is ColumnOperation {
  return operation !== undefined && 'column' in operation
}

const ofColumn: Pick<Definition<ColumnOperation>, 'tables' | 'place' | 'mysql'> = {
  tables: onTable,
  place: ({ table, column }) => `${table}.${column}`,
  mysql: (operation, before, after) => together.mysql([operation], before, after),
}

export const columnOperations: Definitions<(ColumnOperation | Of<'renameColumn'>)['type']> = {
  addColumn: {
    ...ofColumn,
    replay: (schema, { table, column, definition }) =>
      changeTable(schema, table, (state) => {
        assertNoColumn(state, table, column)
        return { ...state, columns: { ...state.columns, [column]: definition } }
      }),
    reverse: (operation) => ({ ...operation, type: 'dropColumn' }),
    describe: ({ table, column, definition }) =>
      `+ column ${table}.${column} ${describeColumn(definition)}`,
    render: renderDefined,
    fileName: ({ table, column }) => `add_${table}_${column}`,
    unfilled: ({ column, definition, fill }) =>
      fill === undefined && needsValue(definition) ? { column, definition } : undefined,
    lint: ({ definition }) => [
      ...(needsValue(definition) ? (['not-null-without-default'] as const) : []),
      ...(definition.values ? (['add-check'] as const) : []),
    ],
    algorithms: ({ definition }) =>
      definition.values || mysql.isStored(definition) ? COPY : INSTANT,
    trial: ({ table, column, definition, fill }) =>
      fill === undefined && needsValue(definition) ? noValue(table, column) : undefined,
    refuse({ table, column, definition }) {
      if (!definition.generated) return
      throw new Error(
        `${table}.${column} is generated: a table gets its generated column when it is created`,
      )
    },
    sqlite(operation, before, after) {
      const { table, column, definition } = operation
      if (column in fillsOf([operation]) || !canAdd(definition))
        return together.sqlite([operation], before, after)
      const check = checkSql(table, column, definition, 'sqlite')
      const words = [sqlite.columnSql(column, definition), ...check].join(' ')
      return [{ sql: sqlite.alter(table, `add column ${words}`) }]
    },
  },

  dropColumn: {
    ...ofColumn,
    replay: (schema, { table, column, definition }) =>
      changeTable(schema, table, (state) => {
        assertColumn(state, { table, column }, definition)
        return { ...state, columns: without(state.columns, column) }
      }),
    reverse: (operation) => ({ ...operation, type: 'addColumn' }),
    describe: ({ table, column }) => `- column ${table}.${column}`,
    render: renderDefined,
    fileName: ({ table, column }) => `drop_${table}_${column}`,
    lint: () => ['drop-column'],
    algorithms: ({ definition }) =>
      mysql.isStored(definition) ? { mysql: 'INPLACE', mariadb: 'INSTANT' } : INSTANT,
    refuse({ table, column }, before) {
      refuseUse(column, tableOf(before, table))
      refuseReferences(table, before, column)
    },
    sqlite(operation, before, after) {
      const { table, column } = operation
      // SQLite drops no column that a check of the table is about.
      if (before[table]?.columns[column]?.values) return together.sqlite([operation], before, after)
      return [{ sql: sqlite.alter(table, `drop column ${quoteName(column, 'sqlite')}`) }]
    },
  },

  alterColumn: {
    ...ofColumn,
    replay: (schema, { table, column, from, to }) =>
      changeTable(schema, table, (state) => {
        assertColumn(state, { table, column }, from)
        return { ...state, columns: { ...state.columns, [column]: to } }
      }),
    reverse: (operation) => ({ ...operation, from: operation.to, to: operation.from }),
    describe: ({ table, column, from, to }) =>
      `~ column ${table}.${column} ${describeColumn(from)} to ${describeColumn(to)}`,
    render: ({ table, column, from, to, fill }) => [
      table,
      column,
      { from: normalColumn(from), to: normalColumn(to), ...filling({ fill }) },
    ],
    fileName: ({ table, column }) => `change_${table}_${column}`,
    unfilled: ({ column, from, to, fill }) =>
      from.nullable && fill === undefined && needsValue(to)
        ? { column, definition: to }
        : undefined,
    lint: ({ from, to }) => lintChange(from, to),
    algorithms: ({ column, from, to }, table) => altered(from, to, isIndexed(column, table)),
    trial: misfits,
    sqlite: (operation, before, after) => together.sqlite([operation], before, after),
  },

  renameColumn: {
    tables: onTable,
    replay: renameIn,
    reverse: (operation) => ({ ...operation, from: operation.to, to: operation.from }),
    describe: ({ table, from, to }) => `> column ${table}.${from} to ${table}.${to}`,
    render: ({ table, from, to }) => [table, from, to],
    fileName: ({ table, from, to }) => `rename_${table}_${from}_to_${to}`,
    lint: () => ['rename-column'],
    algorithms: ({ from }, table) => (table?.columns[from]?.values ? COPY : INSTANT),
    place: ({ table, from }) => `${table}.${from}`,
    mysql({ table, from, to }, before, after) {
      const definition = before[table]?.columns[from] as ColumnState
      // MariaDB lets follow what is computed from it; MySQL wants to be told.
      const computed = Object.entries(after[table]?.columns ?? {})
        .filter(([, column]) => isComputedFrom(column, to))
        .map(([column, one]) => `, modify column ${mysql.columnSql(column, one)}`)
      const told = computed.length > 0 ? ` /*!80000 ${computed.join('')} */` : ''
      const sql = mysql.alter(
        table,
        ...mysql.dropCheck(table, from, definition),
        `rename column ${mysql.name(from)} to ${mysql.name(to)}${told}`,
      )
      const exists = (column: string) => mysql.exactColumnExists(table, column)
      const renamed = mysql.statement(sql, exists(to), mysql.not(exists(from)))
      // By itself: a check copies the table, which MariaDB does not where a foreign key has to follow.
      const checks = mysql.addCheck(table, to, definition).map((check) => {
        return mysql.statement(mysql.alter(table, check), mysql.checkExists(table, to))
      })
      return [renamed, ...checks]
    },
    sqlite({ table, from, to }, _, after) {
      const names = [from, to].map((name) => quoteName(name, 'sqlite'))
      const renamed = { sql: sqlite.alter(table, `rename column ${names.join(' to ')}`) }
      const state = after[table] as TableState
      return state.columns[to]?.values
        ? [renamed, sqlite.rebuildTable(table, state, state)]
        : [renamed]
    },
  },
}

function renderDefined({ table, column, definition, fill }: Of<'addColumn' | 'dropColumn'>) {
  return [table, column, normalColumn(definition), ...(fill === undefined ? [] : [{ fill }])]
}

function renameIn(schema: SchemaState, { table, from, to }: Of<'renameColumn'>): SchemaState {
  const renamed = tableOf(schema, table)
  columnOf(renamed, table, from)
  assertNoColumn(renamed, table, to)
  const named = (name: string) => (name === from ? to : name)
  const inIndex = (index: IndexState) => ({ ...index, columns: index.columns.map(named) })
  // What is computed from it follows by itself.
  const columns = Object.entries(renamed.columns).map(([name, one]) => [
    named(name),
    withRenamed(one, from, to),
  ])
  const own: TableState = {
    ...renamed,
    columns: Object.fromEntries(columns),
    primaryKey: renamed.primaryKey.map(named),
    ...(renamed.indexes && { indexes: renamed.indexes.map(inIndex) }),
    ...(renamed.unique && { unique: renamed.unique.map(inIndex) }),
    ...(renamed.foreignKeys && {
      foreignKeys: renamed.foreignKeys.map((key) => ({ ...key, columns: key.columns.map(named) })),
    }),
  }
  const toThis = (key: ForeignKeyState) =>
    key.table === table ? { ...key, references: key.references.map(named) } : key
  return mapTables({ ...schema, [table]: own }, (name) => name, toThis)
}

function refuseUse(column: string, state: TableState): void {
  if (state.primaryKey.includes(column)) {
    throw new Error(`${column} is part of the primary key, which cannot be changed`)
  }
  const all = [...indexesOf(state), ...(state.foreignKeys ?? [])]
  const user = all.find(({ columns }) => columns.includes(column))
  if (user) throw new Error(`${user.name} is on ${column}: drop it first`)
  const computed = Object.keys(state.columns).find((name) =>
    isComputedFrom(state.columns[name] as ColumnState, column),
  )
  if (computed)
    throw new Error(`${computed} is computed from ${column}: drop it first, or change it`)
}

// ---- what several of one table are at once

/**
 * What a database does for several operations on columns of one table at once: each for itself would write a large table anew.
 */
export const together: Readonly<Record<DialectName, Together>> = {
  mysql(operations, before) {
    const { table } = operations[0] as ColumnOperation
    const steps = operations.map(stepsOnMysql)
    const statements = (step: number) => {
      const changes = steps.flatMap((one) =>
        one[step] ? [changeOf(one[step], before[table])] : [],
      )
      return changes.length > 0 ? mysql.changeColumns(table, changes) : []
    }
    return [...statements(0), ...statements(1)]
  },
  sqlite(operations, before, after) {
    const { table } = operations[0] as ColumnOperation
    const [from, to] = [before[table] as TableState, after[table] as TableState]
    return [sqlite.rebuildTable(table, from, to, fillsOf(operations))]
  },
}

type Together = (
  operations: readonly ColumnOperation[],
  before: SchemaState,
  after: SchemaState,
) => CompiledStep[]

/** MySQL writes nothing into a column that it computes: one that is to be filled is plain first, and may be null. */
function stepsOnMysql(operation: ColumnOperation): readonly ColumnOperation[] {
  if (operation.type !== 'alterColumn' || !isComputed(operation.from, 'mysql')) return [operation]
  if (filledWith(operation, 'mysql') === undefined) return [operation]
  const plain: ColumnState = { ...operation.to, nullable: true }
  return [
    { ...operation, to: plain },
    { ...operation, from: plain },
  ]
}

/** What becomes of a column of MySQL. */
function changeOf(operation: ColumnOperation, state: TableState | undefined): mysql.ColumnChange {
  const { table, column } = operation
  if (operation.type === 'addColumn') return addedColumn(operation)
  if (operation.type === 'alterColumn') return alteredColumn(operation, state)
  const { definition } = operation
  return {
    column,
    changes: () => [
      ...mysql.dropCheck(table, column, definition),
      `drop column ${mysql.name(column)}`,
    ],
    facts: [mysql.not(mysql.columnExists(table, column))],
  }
}

function addedColumn(operation: Of<'addColumn'>): mysql.ColumnChange {
  const { table, column, definition } = operation
  const { nullable, default: value } = definition
  const added = addedWith(operation, 'mysql')
  // Without a word MySQL takes no insert that leaves out a column whose default was dropped, nullable or not.
  const own = nullable || value !== undefined || isComputed(definition, 'mysql')
  const words = value === undefined ? 'null' : defaultSql(definition, 'mysql')
  return {
    column,
    changes: () => [
      `add column ${mysql.columnSql(column, added ?? definition)}`,
      ...mysql.addCheck(table, column, definition),
    ],
    facts: [mysql.columnExists(table, column)],
    isOfEmpty: !own && !added,
    ...(added && {
      behind: `alter column ${mysql.name(column)} ${own ? `set default ${words}` : 'drop default'}`,
    }),
  }
}

function alteredColumn(
  operation: Of<'alterColumn'>,
  state: TableState | undefined,
): mysql.ColumnChange {
  const { table, column, from, to } = operation
  const isSame = isDeepStrictEqual(from.values, to.values)
  const check = mysql.checkExists(table, column)
  // The servers make no column that they keep of one that they do not, nor the other way.
  const isOther = mysql.isVirtual(from) !== mysql.isVirtual(to)
  const isReplaced = isOther && isComputed(to, 'mysql')
  return {
    column,
    changes: ({ words, collation }) => [
      ...(isSame ? [] : mysql.dropCheck(table, column, from)),
      ...(isReplaced ? [`drop column ${mysql.name(column)}`] : []),
      `${isReplaced ? 'add' : 'modify'} column ${mysql.columnSql(column, to, collation)}${words}`,
      ...(isSame ? [] : mysql.addCheck(table, column, to)),
    ],
    ...(isReplaced && { keys: keysAnew(column, state) }),
    ...(isOther && !isReplaced && { ahead: stored(column, from) }),
    facts: isSame || (from.values && to.values) ? [] : [to.values ? check : mysql.not(check)],
    known: typeof from.type === 'object' ? from.type.mysql : '',
    // That of JSON is none of a text's.
    keepsCollation: from.comparison === to.comparison && holdsText(from) && holdsText(to),
    fill: filledWith(operation, 'mysql'),
  }
}

/** The indexes on a column that is dropped and added at once: the server would keep how long it was in them. */
function keysAnew(column: string, { unique = [], indexes = [] }: Partial<TableState> = {}) {
  const anew = (word: string) => (index: IndexState) =>
    index.columns.includes(column)
      ? [
          `drop index ${mysql.name(index.name)}`,
          `add ${word} ${mysql.name(index.name)} ${quoteNames(index.columns, 'mysql')}`,
        ]
      : []
  return [...unique.flatMap(anew('unique index')), ...indexes.flatMap(anew('index'))]
}

/** What makes of a virtual column one that keeps the same values. */
function stored(column: string, { type, ...rest }: ColumnState): string[] {
  const { mysql: sql, sqlite } = type as PerDialect
  const kept = { ...rest, type: { mysql: sql.replace(/\)( *virtual)? *$/i, ') stored'), sqlite } }
  return [`drop column ${mysql.name(column)}`, `add column ${mysql.columnSql(column, kept)}`]
}

/** The default that a new column has while it is added, for the rows that are there; `undefined`: its own, or none. */
function addedWith(
  { definition, fill }: Of<'addColumn'>,
  dialect: DialectName,
): ColumnState | undefined {
  return fill === undefined || isComputed(definition, dialect)
    ? undefined
    : { ...definition, default: fill }
}

/** What rows without a value get, in SQL, before a column may not be null any more; `undefined`: nothing. */
function filledWith(
  { from, to, fill = to.default }: Of<'alterColumn'>,
  dialect: DialectName,
): string | undefined {
  if (!from.nullable || to.nullable || fill === undefined) return undefined
  if (isComputed(to, dialect)) return undefined
  return defaultSql({ ...to, default: fill }, dialect)
}

/** What rows get for columns of a table of SQLite that is built anew, in SQL. */
function fillsOf(operations: readonly ColumnOperation[]): Readonly<Record<string, string>> {
  const fills = operations.flatMap((one) => {
    const added = one.type === 'addColumn' ? addedWith(one, 'sqlite') : undefined
    const filled = one.type === 'alterColumn' ? filledWith(one, 'sqlite') : undefined
    const fill = added ? defaultSql(added, 'sqlite') : filled
    return fill === undefined ? [] : [[one.column, fill] as const]
  })
  return Object.fromEntries(fills)
}

// SQLite adds no column whose default is an expression, nor one without a default that may not be null, not even
// to an empty table.
function canAdd(column: ColumnState): boolean {
  const { nullable, default: value } = column
  // One that is stored cannot be added either.
  if (isComputed(column, 'sqlite')) return false
  return value === undefined ? nullable === true : typeof value !== 'object'
}

// ---- what is said of them

function lintChange(from: ColumnState, to: ColumnState): Code[] {
  const needs = needsValue(to) && !needsValue(from)
  const narrows = losesValues(from, to) || (from.nullable && !to.nullable && !needs)
  const isChecked = to.values !== undefined && !isDeepStrictEqual(from.values, to.values)
  return [
    ...(needs ? (['not-null-without-default'] as const) : []),
    ...(narrows ? (['narrow-type'] as const) : []),
    ...(isRewritten(from, to) && !narrows ? (['change-type'] as const) : []),
    ...(isChecked && !narrows ? (['add-check'] as const) : []),
  ]
}

function losesValues(from: ColumnState, to: ColumnState): boolean {
  if (to.values && !from.values?.every((value) => to.values?.includes(value))) return true
  const [one, other] = [from.type, to.type]
  // What both are in SQL of their own, only their author can compare.
  return typeof one === 'string' && typeof other === 'string' && !fits(one, other)
}

function isRewritten(before: ColumnState, after: ColumnState): boolean {
  const [from, to] = [before.type, after.type]
  if (before.comparison !== after.comparison) return true
  if (isDeepStrictEqual(from, to)) return false
  return typeof from !== 'string' || typeof to !== 'string' || !isInPlace(from, to)
}

function altered(from: ColumnState, to: ColumnState, indexed: boolean): Algorithms {
  const isSameType = isDeepStrictEqual(from.type, to.type)
  if (!isDeepStrictEqual(from.values, to.values) && to.values) return COPY
  if (!isSameType && !isLonger(from, to)) return COPY
  if (from.comparison !== to.comparison)
    return { mysql: 'COPY', mariadb: indexed ? 'INPLACE' : 'INSTANT' }
  if (from.nullable && !to.nullable) return { mysql: 'INPLACE', mariadb: 'COPY' }
  if (!from.nullable && to.nullable) return INPLACE
  if (isSameType) return INSTANT
  const inPlace = isInPlace(from.type as PortableType, to.type as PortableType)
  return { mysql: inPlace ? 'INPLACE' : 'COPY', mariadb: 'INSTANT' }
}

function isLonger({ type: from }: ColumnState, { type: to }: ColumnState): boolean {
  const areVarying = [from, to].every((type) => /^varchar\(/.test(String(type)))
  return areVarying && (lengthOf(from) ?? 0) < (lengthOf(to) ?? 0)
}

const holdsText = ({ type }: ColumnState) => typeof type === 'object' || isText(type)
