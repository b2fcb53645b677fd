import { isDeepStrictEqual } from 'node:util'
import type { Kysely } from 'kysely'
import { indexNameIn, isComputed } from '../dialect/ddl.ts'
import { finished, type ReadSchema } from '../dialect/introspect.ts'
import { mysqlType, readMysql } from '../dialect/mysql/introspect.ts'
import { readDefault, spelled } from '../dialect/sql-text.ts'
import { readSqlite, sqliteType } from '../dialect/sqlite/introspect.ts'
import { dialectOf } from '../portable.ts'
import {
  type ColumnState,
  type ForeignKeyState,
  type IndexState,
  mapValues,
  normalSchema,
  type ReferenceAction,
  type SchemaState,
  type TableState,
} from '../schema/state.ts'
import { canonicalDefault, type DialectName, type PerDialect } from '../schema/types.ts'

export interface ReadOptions {
  /** Only these tables; default: all. */
  tables?: readonly string[] | undefined
}

/**
 * Reads the schema of a database, without the tables of the kit itself (`plinth_…`). Of a schema that the
 * kit's migrations have made it gives what `canonical` makes of it, and no notes.
 */
export async function readSchema<DB>(
  db: Kysely<DB>,
  { tables }: ReadOptions = {},
): Promise<ReadSchema> {
  const read = dialectOf(db) === 'sqlite' ? readSqlite : readMysql
  const isWanted = (table: string) =>
    !/^(plinth|sqlite)_/i.test(table) && (!tables || tables.includes(table))
  return await read(db as Kysely<unknown>, isWanted)
}

/**
 * In what a database's schema differs from the one that is wanted, a line each; `[]` where they are the same
 * on `dialect`. The order of columns does not count.
 *
 * @param found what `readSchema` gives, or any other schema
 */
export function differences(
  wanted: SchemaState,
  found: SchemaState,
  dialect: DialectName,
): string[] {
  const [expected, actual] = [canonical(wanted, dialect), canonical(found, dialect)]
  return compare(expected, actual, (name, want, have) => {
    if (!have) return [`${name}: the table is missing`]
    return want ? compareTables(name, want, have) : [`${name}: the table is not wanted`]
  })
}

type Keyed<T> = Readonly<Record<string, T>>

/** Calls `fn` for every name that either has. */
function compare<T>(
  wanted: Keyed<T>,
  found: Keyed<T>,
  fn: (name: string, wanted: T | undefined, found: T | undefined) => string[],
): string[] {
  const names = new Set([...Object.keys(wanted), ...Object.keys(found)])
  return [...names].flatMap((name) => fn(name, wanted[name], found[name]))
}

function compareTables(table: string, wanted: TableState, found: TableState): string[] {
  const said =
    <T>(describe: (one: T) => string) =>
    (name: string, want: T | undefined, have: T | undefined): string[] => {
      if (isDeepStrictEqual(want, have)) return []
      if (!have) return [`${table}.${name}: is missing; wanted: ${describe(want as T)}`]
      if (!want) return [`${table}.${name}: is not wanted: ${describe(have)}`]
      return [`${table}.${name}: is ${describe(have)}; wanted: ${describe(want)}`]
    }
  const primaryKeys = [wanted, found].map(({ primaryKey }) => `primary key ${list(primaryKey)}`)
  return [
    ...compare(wanted.columns, found.columns, said(describeColumn)),
    ...(primaryKeys[0] === primaryKeys[1]
      ? []
      : [`${table}: has the ${primaryKeys[1]}; wanted: ${primaryKeys[0]}`]),
    ...compare(
      named(wanted.indexes),
      named(found.indexes),
      said(({ columns }) => `index ${list(columns)}`),
    ),
    ...compare(
      named(wanted.unique),
      named(found.unique),
      said(({ columns }) => `unique ${list(columns)}`),
    ),
    ...compare(named(wanted.foreignKeys), named(found.foreignKeys), said(describeKey)),
  ]
}

function named<T extends { name: string }>(all: readonly T[] = []): Keyed<T> {
  return Object.fromEntries(all.map((one) => [one.name, one]))
}

const list = (columns: readonly string[]): string => `(${columns.join(', ')})`

function describeColumn({
  type,
  nullable,
  default: value,
  values,
  comparison,
  generated,
}: ColumnState): string {
  return [
    typeof type === 'string' ? type : type.mysql,
    nullable ? 'null' : 'not null',
    value !== undefined &&
      `default ${typeof value === 'object' ? value.mysql : JSON.stringify(value)}`,
    values && `one of ${values.join(', ')}`,
    comparison === 'ignoreCase' && 'ignoring case',
    generated && 'generated',
  ]
    .filter(Boolean)
    .join(' ')
}

function describeKey({ columns, table, references, onDelete, onUpdate }: ForeignKeyState): string {
  return [
    `foreign key ${list(columns)} to ${table} ${list(references)}`,
    onDelete && `on delete ${onDelete}`,
    onUpdate && `on update ${onUpdate}`,
  ]
    .filter(Boolean)
    .join(' ')
}

/**
 * What reading gives of a schema once `dialect` has it. Two schemas are the same there if this makes the same
 * of both: where a schema says a thing in two ways, one is chosen, and of SQL by database only that of
 * `dialect` is kept, spelled in one way and no longer fit to be run.
 */
export function canonical(schema: SchemaState, dialect: DialectName): SchemaState {
  return normalSchema(mapValues(schema, (table) => canonicalTable(table, dialect)))
}

function canonicalTable(table: TableState, dialect: DialectName): TableState {
  const { columns, primaryKey, indexes = [], unique = [], foreignKeys = [] } = table
  return finished({
    columns: mapValues(columns, (one) => canonicalColumn(one, dialect)),
    primaryKey: [...primaryKey],
    indexes: indexes.map((index) => canonicalIndex(index, dialect)),
    unique: unique.map((index) => canonicalIndex(index, dialect)),
    foreignKeys: foreignKeys.map((key) => canonicalKey(key, dialect)),
  })
}

function canonicalIndex(index: IndexState, dialect: DialectName): IndexState {
  return { name: indexNameIn(index, dialect), columns: index.columns }
}

function canonicalColumn(column: ColumnState, dialect: DialectName): ColumnState {
  const { default: said, nullable, ...rest } = column
  const type = canonicalType(column, dialect)
  const value = said === undefined ? undefined : settled(said, type, dialect)
  return {
    ...rest,
    // Whether it may be null its expression says.
    ...(nullable && !isComputed(column, dialect) && { nullable }),
    type: typeof type === 'string' ? type : both(type[dialect], dialect),
    ...(value !== undefined && { default: value }),
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
  const text = spelled(sql, dialect)
  return { mysql: text, sqlite: text }
}

// They are the same in InnoDB.
function canonicalKey(key: ForeignKeyState, dialect: DialectName): ForeignKeyState {
  const { onDelete = 'restrict', onUpdate = 'restrict', ...rest } = key
  const inDatabase = (action: ReferenceAction) =>
    action === 'no action' && dialect === 'mysql' ? 'restrict' : action
  return { ...rest, onDelete: inDatabase(onDelete), onUpdate: inDatabase(onUpdate) }
}
