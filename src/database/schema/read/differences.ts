import { isDeepStrictEqual } from 'node:util'
import type {
  ColumnState,
  DialectName,
  ForeignKeyState,
  SchemaState,
  TableState,
} from '../state.ts'
import { canonical } from './canonical.ts'

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
