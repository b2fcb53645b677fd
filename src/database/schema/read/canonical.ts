import { indexNameIn } from '../sql.ts'
import type {
  ColumnState,
  DialectName,
  ForeignKeyState,
  IndexState,
  PerDialect,
  SchemaState,
  TableState,
} from '../state.ts'
import { type Draft, finished } from './assemble.ts'
import { canonicalDefault, readDefault } from './defaults.ts'
import { spelled } from './tokens.ts'
import { mysqlType } from './types-mysql.ts'
import { sqliteType } from './types-sqlite.ts'

/**
 * What reading gives of a schema once `dialect` has it. Two schemas are the same there if this makes the same
 * of both: where a schema says a thing in two ways, one is chosen, and of SQL by database only that of
 * `dialect` is kept, spelled in one way and no longer fit to be run.
 */
export function canonical(schema: SchemaState, dialect: DialectName): SchemaState {
  const tables = Object.entries(schema).map(([name, table]) => [
    name,
    canonicalTable(table, dialect),
  ])
  return Object.fromEntries(tables.toSorted(([a], [b]) => ((a as string) < (b as string) ? -1 : 1)))
}

function canonicalTable(table: TableState, dialect: DialectName): TableState {
  const { columns, primaryKey, indexes = [], unique = [], foreignKeys = [] } = table
  const draft: Draft = {
    columns: Object.fromEntries(
      Object.entries(columns).map(([name, column]) => [name, canonicalColumn(column, dialect)]),
    ),
    primaryKey: [...primaryKey],
    indexes: indexes.map((index) => canonicalIndex(index, dialect)),
    unique: unique.map((index) => canonicalIndex(index, dialect)),
    foreignKeys: foreignKeys.map((key) => canonicalKey(key, dialect)),
  }
  return finished(draft)
}

function canonicalIndex(index: IndexState, dialect: DialectName): IndexState {
  return { name: indexNameIn(index, dialect), columns: index.columns }
}

function canonicalColumn(column: ColumnState, dialect: DialectName): ColumnState {
  const type = canonicalType(column, dialect)
  const value = column.default === undefined ? undefined : settled(column.default, type, dialect)
  return {
    type: typeof type === 'string' ? type : both(type[dialect], dialect),
    ...(column.nullable && { nullable: true }),
    ...(value !== undefined && { default: value }),
    ...(column.values && { values: column.values }),
    ...(column.comparison && { comparison: column.comparison }),
    ...(column.generated && { generated: true }),
  }
}

function canonicalType(
  { type, generated }: ColumnState,
  dialect: DialectName,
): ColumnState['type'] {
  if (dialect === 'sqlite') {
    // Whatever it was wanted as, SQLite numbers a column of this type only.
    if (generated) return 'integer'
    if (type === 'char(36)') return 'uuid'
  }
  if (typeof type === 'string') return type
  return dialect === 'sqlite' ? sqliteType(type.sqlite) : typeOfMysql(type.mysql)
}

const CHARSET = / character set (\w+) collate (\w+)/i

function typeOfMysql(sql: string): ColumnState['type'] {
  const [, charset = null, collation = null] = CHARSET.exec(sql) ?? []
  const [, type = sql, rest = ''] =
    /^(.+?)((?: generated always as | on update | auto_increment).*)?$/i.exec(
      sql.replace(CHARSET, ''),
    ) ?? []
  return mysqlType({
    type: type.toLowerCase().replace(/, /g, ','),
    charset,
    collation,
    isUsual: charset === null,
    rest: rest.trim(),
  })
}

function settled(
  value: NonNullable<ColumnState['default']>,
  type: ColumnState['type'],
  dialect: DialectName,
): ColumnState['default'] | undefined {
  if (typeof value !== 'object') return canonicalDefault(value, type)
  const read = readDefault(value[dialect], type, dialect)
  return typeof read === 'object' ? both(read[dialect], dialect) : read
}

function both(sql: string, dialect: DialectName): PerDialect {
  const text = spelled(sql, { backslashes: dialect === 'mysql' })
  return { mysql: text, sqlite: text }
}

function canonicalKey(key: ForeignKeyState, dialect: DialectName): ForeignKeyState {
  const { onDelete, onUpdate, ...rest } = key
  // They are the same in InnoDB.
  const isDefault = (action: ForeignKeyState['onDelete']) =>
    action === 'restrict' || (action === 'no action' && dialect === 'mysql')
  return {
    ...rest,
    ...(onDelete && !isDefault(onDelete) && { onDelete }),
    ...(onUpdate && !isDefault(onUpdate) && { onUpdate }),
  }
}
