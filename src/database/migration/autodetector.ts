import { isDeepStrictEqual } from 'node:util'
import {
  compare,
  type ForeignKeyState,
  normalSchema,
  type SchemaState,
  type TableState,
} from '../schema/state.ts'
import { replayAll, type SchemaOperation } from './operations/index.ts'
import { type Renames, renameOperations } from './renames.ts'
import {
  type Altered,
  changeOf,
  type IndexSteps,
  indexSteps,
  startsWith,
  type TableChange,
  type TypedIndex,
} from './table-change.ts'

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
