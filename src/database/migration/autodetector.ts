import { isDeepStrictEqual } from 'node:util'
import { errors } from '../../errors.ts'
import { isComputed } from '../dialect/ddl.ts'
import { spelled } from '../dialect/sql-text.ts'
import { foreignKeyName, indexName, uniqueName } from '../schema/names.ts'
import {
  type ColumnState,
  compare,
  type ForeignKeyState,
  type IndexState,
  indexesOf,
  normalIndex,
  normalSchema,
  only,
  type SchemaState,
  type TableState,
} from '../schema/state.ts'
import { lengthOf } from '../schema/types.ts'
import { replayAll } from './operations/index.ts'
import type { SchemaOperation } from './operations/operation.ts'
import { type Renames, renameOperations } from './renames.ts'

/**
 * The operations that lead from one schema to another, in an order that both databases take, and whose
 * reverse both take, too. The order of columns and names that nobody gave are no difference.
 *
 * @param renames what was renamed; the rest is dropped and added
 * @throws {PlinthError} MIGRATION_UNSUPPORTED for what no operation says: another primary key
 */
export function diff(from: SchemaState, to: SchemaState, renames: Renames = {}): SchemaOperation[] {
  const renaming = renameOperations(renames)
  const before = normalSchema(replayAll(renaming, from))
  const after = normalSchema(to)
  const dropped = arrange(only(before, (name) => !after[name]))
  const created = arrange(only(after, (name) => !before[name]))
  const { keys, columns } = changeTables(before, after)
  return [
    ...renaming,
    ...foreignKeys('dropForeignKey', [...keys.dropped, ...dropped.deferred]),
    ...tables('dropTable', dropped.tables.toReversed()),
    ...columns,
    ...tables('createTable', created.tables),
    ...foreignKeys('addForeignKey', [...keys.added, ...created.deferred]),
  ]
}

/** A foreign key and the table that has it. */
type OwnedKey = readonly [table: string, key: ForeignKeyState]

interface Changes {
  readonly keys: { readonly dropped: OwnedKey[]; readonly added: OwnedKey[] }
  /** Of columns and indexes. */
  readonly columns: SchemaOperation[]
}

/** How the tables change that there are before and after. */
function changeTables(before: SchemaState, after: SchemaState): Changes {
  const wanted = Object.values(after)
  const names: Names = {
    indexes: new Set(wanted.flatMap(indexesOf).map(({ name }) => name)),
    foreignKeys: new Set(
      wanted.flatMap(({ foreignKeys = [] }) => foreignKeys.map(({ name }) => name)),
    ),
    // To the databases upper and lower case are the same.
    taken: new Set(
      Object.values(before)
        .flatMap(indexesOf)
        .map(({ name }) => name.toLowerCase()),
    ),
  }
  const changes = Object.entries(before).flatMap(([name, table]) => {
    const target = after[name]
    return target ? [changeOf(name, table, target, names)] : []
  })
  return {
    keys: changedKeys(changes),
    columns: [
      ...changes.flatMap(({ name, added }) => columns('addColumn', name, added)),
      ...indexes(changes, 'early'),
      ...indexes(changes, 'dropped'),
      ...changes.flatMap(({ name: table, altered, computed }) => [
        ...columns('dropColumn', table, computed.dropped),
        ...altered.map((one) => ({ type: 'alterColumn' as const, table, ...one })),
        ...columns('addColumn', table, computed.added),
      ]),
      ...indexes(changes, 'late'),
      ...changes.flatMap(({ name, dropped }) => columns('dropColumn', name, dropped)),
    ],
  }
}

function changedKeys(changes: readonly TableChange[]): Changes['keys'] {
  const byName = new Map(changes.map((change) => [change.name, change]))
  const dropped: OwnedKey[] = []
  const added: OwnedKey[] = []
  for (const change of changes) {
    const { kept, ...rest } = change.foreignKeys
    // What a key refers to that stays is there before and after.
    const moved = kept.filter(([key]) =>
      isInTheWay(key, change, byName.get(key.table) as TableChange),
    )
    const own = (keys: ForeignKeyState[]) => keys.map((key) => [change.name, key] as const)
    dropped.push(...own([...rest.dropped, ...moved.map(([key]) => key)]))
    added.push(...own([...rest.added, ...moved.map(([, key]) => key)]))
  }
  return { dropped, added }
}

function tables(
  type: 'createTable' | 'dropTable',
  all: readonly (readonly [string, TableState])[],
): SchemaOperation[] {
  return all.map(([table, definition]) => ({ type, table, definition }))
}

function columns(
  type: 'addColumn' | 'dropColumn',
  table: string,
  all: TableChange['added'],
): SchemaOperation[] {
  return all.map(([column, definition]) => ({ type, table, column, definition }))
}

const INDEX_TYPES = {
  add: { unique: 'addUnique', index: 'addIndex' },
  drop: { unique: 'dropUnique', index: 'dropIndex' },
} as const

function indexes(changes: readonly TableChange[], step: keyof IndexSteps): SchemaOperation[] {
  const types = INDEX_TYPES[step === 'dropped' ? 'drop' : 'add']
  return changes.flatMap(({ name: table, indexes }) =>
    indexes[step].map((one) => ({ type: types[one.kind], table, index: normalIndex(one) })),
  )
}

function foreignKeys(
  type: 'addForeignKey' | 'dropForeignKey',
  all: readonly OwnedKey[],
): SchemaOperation[] {
  return all.map(([table, foreignKey]) => ({ type, table, foreignKey }))
}

/** Tables in an order in which they can be created; backwards they can be dropped. */
interface Arranged {
  readonly tables: readonly (readonly [name: string, table: TableState])[]
  /** Foreign keys that close a circle: they are left out above, added afterwards and dropped before. */
  readonly deferred: readonly (readonly [table: string, key: ForeignKeyState])[]
}

function arrange(schema: SchemaState): Arranged {
  const order = orderOf(schema)
  const isLater = (table: string, key: ForeignKeyState) =>
    order.indexOf(key.table) > order.indexOf(table)
  const keysOf = (table: string) => schema[table]?.foreignKeys ?? []
  return {
    tables: order.map((name) => {
      const keys = keysOf(name).filter((key) => !isLater(name, key))
      return [name, withForeignKeys(schema[name] as TableState, keys)]
    }),
    deferred: order.flatMap((name) =>
      keysOf(name)
        .filter((key) => isLater(name, key))
        .map((key) => [name, key] as const),
    ),
  }
}

/** Each table after those that it refers to, as far as there is no circle. */
function orderOf(schema: SchemaState): string[] {
  const order: string[] = []
  const met = new Set<string>()
  const visit = (name: string): void => {
    const table = schema[name]
    if (!table || met.has(name)) return
    met.add(name)
    for (const key of table.foreignKeys ?? []) visit(key.table)
    order.push(name)
  }
  for (const name of Object.keys(schema).sort(compare)) visit(name)
  return order
}

function withForeignKeys(table: TableState, foreignKeys: readonly ForeignKeyState[]): TableState {
  const { foreignKeys: _, ...rest } = table
  return foreignKeys.length > 0 ? { ...rest, foreignKeys } : rest
}

/**
 * Whether a foreign key that stays has to go while its tables change: one of its columns becomes another,
 * or an index that it needs is built again.
 *
 * @param change of its own table
 * @param target change of the table that it refers to
 */
function isInTheWay(key: ForeignKeyState, change: TableChange, target: TableChange): boolean {
  const isUnique = ({ kind }: TableIndex) => kind === 'unique'
  return (
    change.altered.some((one) => key.columns.includes(one.column) && isOther(one)) ||
    target.altered.some((one) => key.references.includes(one.column) && isOther(one)) ||
    losesIndex(change, ({ columns }) => key.columns.every((one, i) => columns[i] === one)) ||
    losesIndex(target, (one) => isUnique(one) && isDeepStrictEqual(one.columns, key.references))
  )
}

/** MySQL lets a default and a check change under a foreign key, and nothing else. */
function isOther({ from, to }: Altered): boolean {
  return (
    !isDeepStrictEqual(from.type, to.type) ||
    from.nullable !== to.nullable ||
    from.comparison !== to.comparison ||
    from.generated !== to.generated
  )
}

/** Whether there is a moment without any of the indexes that serve. */
function losesIndex(change: TableChange, serves: (index: TableIndex) => boolean): boolean {
  const { primaryKey, indexes } = change
  const always = [
    { name: '', kind: 'unique', columns: primaryKey } as const,
    ...indexes.kept,
    ...indexes.early,
  ]
  return indexes.dropped.some(serves) && !always.some(serves)
}

// ---- how one table changes

interface Altered {
  readonly column: string
  readonly from: ColumnState
  readonly to: ColumnState
}

type Columns = readonly (readonly [column: string, definition: ColumnState])[]

/** How a table differs from what is wanted; in which order that is done is the autodetector's. */
interface TableChange {
  readonly name: string
  readonly primaryKey: readonly string[]
  readonly added: Columns
  readonly dropped: Columns
  /** What is computed goes before what it is computed from changes, and comes behind that. */
  readonly computed: { readonly added: Columns; readonly dropped: Columns }
  /** Those that get shorter first, so that the columns of an index are never too long together. */
  readonly altered: readonly Altered[]
  readonly indexes: IndexSteps
  readonly foreignKeys: Matched<ForeignKeyState>
}

interface TableIndex extends IndexState {
  readonly kind: 'unique' | 'index'
}

/** When the indexes of a table are added and dropped. */
interface IndexSteps {
  readonly kept: readonly TableIndex[]
  /** Added before others are dropped, because a foreign key may need one or the other. */
  readonly early: readonly TableIndex[]
  readonly dropped: readonly TableIndex[]
  /** Added last: they need a name that is still taken, or a column as it is not yet. */
  readonly late: readonly TableIndex[]
}

function typedIndexes({ unique = [], indexes = [] }: TableState): TableIndex[] {
  return [
    ...unique.map((one) => ({ ...one, kind: 'unique' as const })),
    ...indexes.map((one) => ({ ...one, kind: 'index' as const })),
  ]
}

/** Names anywhere: SQLite's indexes, and MySQL's foreign keys, share theirs across tables. */
interface Names {
  /** Of those that are wanted. */
  readonly indexes: ReadonlySet<string>
  readonly foreignKeys: ReadonlySet<string>
  /** Of the indexes that there are before, in lower case. */
  readonly taken: ReadonlySet<string>
}

/**
 * Compares a table with what is wanted, both in normal form.
 *
 * @throws {PlinthError} MIGRATION_UNSUPPORTED where the primary key differs
 */
function changeOf(name: string, before: TableState, after: TableState, names: Names): TableChange {
  if (!isDeepStrictEqual(before.primaryKey, after.primaryKey)) throw otherKey(name, before, after)
  /** A name that nobody gave is no reason to build anything again, unless another needs the old one. */
  const mayKeep =
    <T extends IndexState>(derive: (one: T) => string, wanted: ReadonlySet<string>) =>
    (one: T, other: T) =>
      other.name === derive(other) && !wanted.has(one.name)
  const usual = ({ kind, columns }: TableIndex) =>
    (kind === 'unique' ? uniqueName : indexName)(name, columns)
  const computed = {
    added: missingFrom(after, before, true),
    // One may be computed from the one before it.
    dropped: missingFrom(before, after, true).toReversed(),
  }
  const altered = alteredColumns(before, after)
  const late = new Set([
    ...altered.map(({ column }) => column),
    ...computed.added.map(([one]) => one),
  ])
  const isLate = ({ name, columns }: TableIndex) =>
    names.taken.has(name.toLowerCase()) || columns.some((column) => late.has(column))
  const indexes = match(typedIndexes(before), typedIndexes(after), mayKeep(usual, names.indexes))
  const usualKey = ({ columns }: ForeignKeyState) => foreignKeyName(name, columns)
  return {
    name,
    primaryKey: after.primaryKey,
    added: missingFrom(after, before, false),
    dropped: missingFrom(before, after, false),
    computed,
    altered,
    indexes: {
      kept: indexes.kept.map(([one]) => one),
      early: indexes.added.filter((one) => !isLate(one)),
      dropped: indexes.dropped,
      late: indexes.added.filter(isLate),
    },
    foreignKeys: match(
      before.foreignKeys ?? [],
      after.foreignKeys ?? [],
      mayKeep(usualKey, names.foreignKeys),
    ),
  }
}

function missingFrom(
  table: TableState,
  other: TableState,
  computed: boolean,
): [string, ColumnState][] {
  return Object.entries(table.columns).filter(
    ([column, definition]) => !other.columns[column] && isComputed(definition) === computed,
  )
}

/** However its expression is spelled. */
function isSameColumn(one: ColumnState, other: ColumnState): boolean {
  return isDeepStrictEqual(inOneForm(one), inOneForm(other))
}

function inOneForm({ type, ...column }: ColumnState) {
  if (typeof type === 'string') return { ...column, type }
  return { ...column, mysql: spelled(type.mysql, 'mysql'), sqlite: spelled(type.sqlite, 'sqlite') }
}

function alteredColumns(before: TableState, after: TableState): Altered[] {
  const altered = Object.entries(after.columns).flatMap(([column, to]) => {
    const from = before.columns[column]
    return from && !isSameColumn(from, to) ? [{ column, from, to }] : []
  })
  return altered.sort((a, b) => growth(a) - growth(b))
}

function growth({ from, to }: Altered): number {
  return (lengthOf(to.type) ?? 0) - (lengthOf(from.type) ?? 0)
}

function otherKey(name: string, before: TableState, after: TableState) {
  const [was, is] = [before, after].map(({ primaryKey }) => `(${primaryKey.join(', ')})`)
  return errors.MIGRATION_UNSUPPORTED(`the primary key of ${name} from ${was} to ${is}`)
}

interface Matched<T> {
  /** There before and after: as it is, and as it is wanted, which may differ in the name. */
  readonly kept: readonly (readonly [before: T, after: T])[]
  readonly dropped: readonly T[]
  readonly added: readonly T[]
}

/**
 * Finds what of `before` is still there in `after`, its name aside.
 *
 * @param mayKeep whether one may stay under its name where another is wanted
 */
function match<T extends { readonly name: string }>(
  before: readonly T[],
  after: readonly T[],
  mayKeep: (before: T, after: T) => boolean,
): Matched<T> {
  const isSame = ({ name: _, ...one }: T, { name: __, ...other }: T) =>
    isDeepStrictEqual(one, other)
  const kept = new Map<T, T>()
  // Those of the same name first, so that none of them is taken for another.
  for (const fits of [(b: T, a: T) => b.name === a.name, mayKeep]) {
    for (const one of after) {
      if (kept.has(one)) continue
      const taken = new Set(kept.values())
      const found = before.find((b) => !taken.has(b) && isSame(b, one) && fits(b, one))
      if (found) kept.set(one, found)
    }
  }
  const taken = new Set(kept.values())
  return {
    kept: Array.from(kept, ([a, b]) => [b, a] as const),
    dropped: before.filter((one) => !taken.has(one)),
    added: after.filter((one) => !kept.has(one)),
  }
}
