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
  normalSchema,
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
  const dropped = arrange(without(before, after))
  const created = arrange(without(after, before))
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
  const wanted = {
    indexes: indexNames(after),
    foreignKeys: new Set(all(after, ({ foreignKeys }) => foreignKeys)),
  }
  const changes = Object.entries(before).flatMap(([name, table]) => {
    const target = after[name]
    return target ? [changeOf(name, table, target, wanted)] : []
  })
  // To the databases upper and lower case are the same.
  const taken = new Set(Array.from(indexNames(before), (name) => name.toLowerCase()))
  const steps = new Map(changes.map((change) => [change.name, indexSteps(change, taken)]))
  return {
    keys: changedKeys(changes, steps),
    columns: [
      ...changes.flatMap(({ name, added }) => columns('addColumn', name, added)),
      ...indexes('add', steps, 'early'),
      ...indexes('drop', steps, 'dropped'),
      ...changes.flatMap(({ name: table, altered, computed }) => [
        ...columns('dropColumn', table, computed.dropped),
        ...altered.map((one) => ({ type: 'alterColumn' as const, table, ...one })),
        ...columns('addColumn', table, computed.added),
      ]),
      ...indexes('add', steps, 'late'),
      ...changes.flatMap(({ name, dropped }) => columns('dropColumn', name, dropped)),
    ],
  }
}

function changedKeys(
  changes: readonly TableChange[],
  steps: ReadonlyMap<string, IndexSteps>,
): Changes['keys'] {
  const byName = new Map(changes.map((change) => [change.name, change]))
  const dropped: OwnedKey[] = []
  const added: OwnedKey[] = []
  for (const change of changes) {
    const { kept, ...rest } = change.foreignKeys
    // What a key refers to that stays is there before and after, and so are its steps.
    const moved = kept.filter(([key]) =>
      isInTheWay(
        key,
        change,
        byName.get(key.table) as TableChange,
        ({ name }) => steps.get(name) as IndexSteps,
      ),
    )
    const own = (keys: ForeignKeyState[]) => keys.map((key) => [change.name, key] as const)
    dropped.push(...own([...rest.dropped, ...moved.map(([key]) => key)]))
    added.push(...own([...rest.added, ...moved.map(([, key]) => key)]))
  }
  return { dropped, added }
}

function without(schema: SchemaState, other: SchemaState): SchemaState {
  return Object.fromEntries(Object.entries(schema).filter(([name]) => !other[name]))
}

function indexNames(schema: SchemaState): Set<string> {
  return new Set([
    ...all(schema, (table) => table.indexes),
    ...all(schema, (table) => table.unique),
  ])
}

function all(
  schema: SchemaState,
  pick: (table: TableState) => readonly { readonly name: string }[] | undefined,
): string[] {
  return Object.values(schema).flatMap((table) => (pick(table) ?? []).map(({ name }) => name))
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

function indexes(
  verb: 'add' | 'drop',
  steps: ReadonlyMap<string, IndexSteps>,
  step: keyof IndexSteps,
): SchemaOperation[] {
  const types = {
    add: { unique: 'addUnique', index: 'addIndex' },
    drop: { unique: 'dropUnique', index: 'dropIndex' },
  } as const
  const operation = (table: string, { type, index }: TypedIndex): SchemaOperation => ({
    type: types[verb][type],
    table,
    index,
  })
  return Array.from(steps).flatMap(([table, of]) => of[step].map((one) => operation(table, one)))
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
function isInTheWay(
  key: ForeignKeyState,
  change: TableChange,
  target: TableChange,
  steps: (change: TableChange) => IndexSteps,
): boolean {
  return (
    change.altered.some((one) => key.columns.includes(one.column) && isOther(one)) ||
    target.altered.some((one) => key.references.includes(one.column) && isOther(one)) ||
    losesIndex(change.primaryKey, steps(change), (columns) => startsWith(columns, key.columns)) ||
    losesUnique(target.primaryKey, steps(target), key.references)
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

type Serves = (columns: readonly string[]) => boolean

function losesIndex(primaryKey: readonly string[], steps: IndexSteps, serves: Serves): boolean {
  const always = [primaryKey, ...columnsOf(steps.kept), ...columnsOf(steps.early)]
  return columnsOf(steps.dropped).some(serves) && !always.some(serves)
}

function losesUnique(
  primaryKey: readonly string[],
  steps: IndexSteps,
  columns: readonly string[],
): boolean {
  const unique = (all: IndexSteps['kept']) => all.filter(({ type }) => type === 'unique')
  const only = {
    ...steps,
    kept: unique(steps.kept),
    early: unique(steps.early),
    dropped: unique(steps.dropped),
  }
  return losesIndex(primaryKey, only, (all) => isDeepStrictEqual(all, columns))
}

function columnsOf(steps: IndexSteps['kept']): (readonly string[])[] {
  return steps.map(({ index }) => index.columns)
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
  readonly indexes: Matched<IndexState>
  readonly unique: Matched<IndexState>
  readonly foreignKeys: Matched<ForeignKeyState>
}

/** Names that are wanted anywhere: SQLite's indexes, and MySQL's foreign keys, share theirs across tables. */
interface Wanted {
  readonly indexes: ReadonlySet<string>
  readonly foreignKeys: ReadonlySet<string>
}

/**
 * Compares a table with what is wanted, both in normal form.
 *
 * @throws {PlinthError} MIGRATION_UNSUPPORTED where the primary key differs
 */
function changeOf(
  name: string,
  before: TableState,
  after: TableState,
  wanted: Wanted,
): TableChange {
  if (!isDeepStrictEqual(before.primaryKey, after.primaryKey)) throw otherKey(name, before, after)
  /** A name that nobody gave is no reason to build anything again, unless another needs the old one. */
  const mayKeep =
    (derive: (table: string, columns: readonly string[]) => string, taken: ReadonlySet<string>) =>
    (one: IndexState, other: IndexState) =>
      other.name === derive(name, other.columns) && !taken.has(one.name)
  const { foreignKeys: keysBefore = [] } = before
  const { foreignKeys: keysAfter = [] } = after
  const ofIndex = mayKeep(indexName, wanted.indexes)
  const ofUnique = mayKeep(uniqueName, wanted.indexes)
  const ofKey = mayKeep(foreignKeyName, wanted.foreignKeys)
  return {
    name,
    primaryKey: after.primaryKey,
    added: missingFrom(after, before, false),
    dropped: missingFrom(before, after, false),
    computed: {
      added: missingFrom(after, before, true),
      // One may be computed from the one before it.
      dropped: missingFrom(before, after, true).toReversed(),
    },
    altered: alteredColumns(before, after),
    indexes: match(before.indexes ?? [], after.indexes ?? [], isSame, ofIndex),
    unique: match(before.unique ?? [], after.unique ?? [], isSame, ofUnique),
    foreignKeys: match(keysBefore, keysAfter, isSame, ofKey),
  }
}

function isSame<T extends IndexState>({ name: _, ...one }: T, { name: __, ...other }: T): boolean {
  return isDeepStrictEqual(one, other)
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
  const mysql = spelled(type.mysql, { backslashes: true })
  return { ...column, mysql, sqlite: spelled(type.sqlite) }
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

/** What has a name that is not what makes it what it is: an index, a unique index, a foreign key. */
interface Named {
  readonly name: string
}

interface Matched<T> {
  /** There before and after: as it is, and as it is wanted, which may differ in the name. */
  readonly kept: readonly (readonly [before: T, after: T])[]
  readonly dropped: readonly T[]
  readonly added: readonly T[]
}

/**
 * Finds what of `before` is still there in `after`.
 *
 * @param isSame whether two are the same but for their names
 * @param mayKeep whether one may stay under its name where another is wanted
 */
function match<T extends Named>(
  before: readonly T[],
  after: readonly T[],
  isSame: (before: T, after: T) => boolean,
  mayKeep: (before: T, after: T) => boolean,
): Matched<T> {
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

interface TypedIndex {
  readonly type: 'unique' | 'index'
  readonly index: IndexState
}

/** When the indexes of a table are added and dropped. */
interface IndexSteps {
  readonly kept: readonly TypedIndex[]
  /** Added before others are dropped, because a foreign key may need one or the other. */
  readonly early: readonly TypedIndex[]
  readonly dropped: readonly TypedIndex[]
  /** Added last: they need a name that is still taken, or a column as it is not yet. */
  readonly late: readonly TypedIndex[]
}

/** @param taken the names of all indexes that there are before, in lower case */
function indexSteps(change: TableChange, taken: ReadonlySet<string>): IndexSteps {
  const added = typed(change.unique.added, change.indexes.added)
  const late = new Set([
    ...change.altered.map(({ column }) => column),
    ...change.computed.added.map(([column]) => column),
  ])
  const isLate = ({ index }: TypedIndex) =>
    taken.has(index.name.toLowerCase()) || index.columns.some((column) => late.has(column))
  const kept = (pairs: TableChange['indexes']['kept']) => pairs.map(([before]) => before)
  return {
    kept: typed(kept(change.unique.kept), kept(change.indexes.kept)),
    early: added.filter((one) => !isLate(one)),
    dropped: typed(change.unique.dropped, change.indexes.dropped),
    late: added.filter(isLate),
  }
}

function typed(unique: readonly IndexState[], indexes: readonly IndexState[]): TypedIndex[] {
  return [
    ...unique.map((index) => ({ type: 'unique' as const, index })),
    ...indexes.map((index) => ({ type: 'index' as const, index })),
  ]
}

/** Whether an index on `columns` finds rows by `first`. */
function startsWith(columns: readonly string[], first: readonly string[]): boolean {
  return first.every((column, i) => columns[i] === column)
}
