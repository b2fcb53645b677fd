import { quoteName } from '../../src/database/dialect/ddl.ts'
import { isComputedFrom } from '../../src/database/dialect/sql-text.ts'
import type { Renames } from '../../src/database/migration/renames.ts'
import { foreignKeyName, indexName, uniqueName } from '../../src/database/schema/names.ts'
import type {
  ColumnState,
  ForeignKeyState,
  IndexState,
  ReferenceAction,
  SchemaState,
  TableState,
} from '../../src/database/schema/state.ts'
import type { PerDialect } from '../../src/database/schema/types.ts'

/** A number from 0 to below 1, as `Math.random` gives. */
export type Random = () => number

/** The same numbers for the same seed. */
export function seeded(seed: number): Random {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** A schema that is changed in place until it is done. */
type Draft = Record<string, DraftTable>

interface DraftTable {
  columns: Record<string, ColumnState>
  primaryKey: string[]
  indexes: IndexState[]
  unique: IndexState[]
  foreignKeys: ForeignKeyState[]
}

// The primary key of a table never changes, so its columns go by the table's name.
const KEYS: Readonly<Record<string, readonly string[]>> = {
  city: ['id'],
  country: ['code'],
  visit: ['city', 'day'],
  person: ['id'],
  order: ['number'],
  town: ['id'],
}
const COLUMNS = ['name', 'size', 'kind', 'note', 'group', 'since', 'total', 'data']
/** Beside those; such a column may also become one of the others, or one of the others such a column. */
const COMPUTED = ['sum', 'label']
const LENGTHS = [1, 8, 40, 191, 255, 700]
const ACTIONS: readonly ReferenceAction[] = ['cascade', 'restrict', 'no action']
const VALUES = ['town', 'city', "o'er", 'a b']
/** In bytes: what the keys of InnoDB may have. */
const MAX_KEY = 3072

/** A schema of one to five tables that MySQL and SQLite can have. Two of them may share names. */
export function randomSchema(random: Random): SchemaState {
  const schema: Draft = {}
  for (const name of shuffled(random, Object.keys(KEYS)).slice(0, 1 + below(random, 5))) {
    schema[name] = randomTable(random, name)
  }
  for (let i = below(random, 5); i > 0; i--) addForeignKey(random, schema)
  return finished(schema)
}

/** `schema` after up to five changes; it may be as it was. */
export function mutateSchema(random: Random, schema: SchemaState): SchemaState {
  let draft = draftOf(schema)
  for (let i = 1 + below(random, 5); i > 0; i--) {
    const changed = structuredClone(draft)
    pick(random, MUTATIONS)(random, changed)
    if (isValid(changed)) draft = changed
  }
  return finished(draft)
}

/** What of a schema gets another name, which may differ from the old one in case alone, among what two schemas have alike. */
export function randomRenames(random: Random, a: SchemaState, b: SchemaState): Renames {
  if (chance(random, 0.5)) return {}
  const name = (old: string) =>
    chance(random, 0.5) ? old.toUpperCase() : `${old.slice(0, 1).toUpperCase()}${old.slice(1)}_two`
  const tables = Object.keys(a).filter((table) => b[table])
  const columns = tables.flatMap((table) =>
    Object.keys(a[table]?.columns ?? {})
      .filter((column) => b[table]?.columns[column])
      .map((column) => [`${table}.${column}`, name(column)] as const),
  )
  return {
    tables: Object.fromEntries(
      tables.filter(() => chance(random, 0.2)).map((table) => [table, name(table)]),
    ),
    columns: Object.fromEntries(columns.filter(() => chance(random, 0.15))),
  }
}

type Mutation = (random: Random, schema: Draft) => void

const MUTATIONS: readonly Mutation[] = [
  addTable,
  dropTable,
  addColumn,
  addColumn,
  dropColumn,
  dropColumn,
  alterColumn,
  alterColumn,
  alterColumn,
  (random, schema) => addIndex(random, ...anyTable(random, schema), 'indexes'),
  (random, schema) => addIndex(random, ...anyTable(random, schema), 'unique'),
  extendIndex,
  (random, schema) => dropIndex(random, schema, 'indexes'),
  (random, schema) => dropIndex(random, schema, 'unique'),
  addForeignKey,
  addForeignKey,
  dropForeignKey,
  changeActions,
  computeColumn,
  computeColumn,
  growValues,
  addAudit,
]

function randomTable(random: Random, name: string): DraftTable {
  const primaryKey = [...(KEYS[name] as string[])]
  const table: DraftTable = {
    columns: Object.fromEntries(primaryKey.map((column) => [column, keyColumn(random, column)])),
    primaryKey,
    indexes: [],
    unique: [],
    foreignKeys: [],
  }
  for (const column of shuffled(random, COLUMNS).slice(0, below(random, 6))) {
    table.columns[column] = randomColumn(random)
  }
  for (const column of COMPUTED) {
    const computed = chance(random, 0.3) && computedColumn(random, table)
    if (computed) table.columns[column] = computed
  }
  for (let i = below(random, 3); i > 0; i--) addIndex(random, name, table, 'indexes')
  for (let i = below(random, 3); i > 0; i--) addIndex(random, name, table, 'unique')
  return table
}

function keyColumn(random: Random, column: string): ColumnState {
  if (column === 'id') {
    return pick<ColumnState>(random, [
      { type: 'integer', generated: true },
      { type: 'bigint', generated: true },
      { type: 'uuid' },
      { type: 'bigint' },
    ])
  }
  if (column === 'day') return { type: pick(random, ['date', 'smallint'] as const) }
  return pick<ColumnState>(random, [
    { type: 'char(2)' },
    { type: 'varchar(40)' },
    { type: 'integer' },
    { type: 'uuid' },
  ])
}

function randomColumn(random: Random): ColumnState {
  const column = pick(random, DEFINITIONS)(random)
  if (chance(random, 0.5)) return column
  const { default: _, ...rest } = column
  return chance(random, 0.5) ? { ...rest, nullable: true } : rest
}

const DEFINITIONS: readonly ((random: Random) => ColumnState)[] = [
  (random) => ({ type: 'boolean', default: chance(random, 0.5) }),
  () => ({ type: 'tinyint', default: -128 }),
  () => ({ type: 'smallint', default: 32_767 }),
  (random) => ({ type: 'integer', default: below(random, 1000) }),
  () => ({ type: 'bigint', default: 0 }),
  () => ({ type: 'double', default: 1.5 }),
  (random) => ({ type: `decimal(${10 + below(random, 3)},2)`, default: '12.50' }),
  (random) => ({ type: `char(${2 + below(random, 3)})`, default: 'xy' }),
  (random) => ({
    type: `varchar(${pick(random, LENGTHS)})`,
    default: pick(random, ['', "'", '"']),
  }),
  (random) => ({ type: 'varchar(8)', values: randomValues(random), default: VALUES[0] as string }),
  () => ({ type: 'text', default: "it's \\ long" }),
  () => ({ type: 'date', default: '2026-11-22' }),
  () => ({ type: 'time', default: '10:20:30' }),
  () => ({
    type: 'datetime',
    default: { mysql: 'current_timestamp(3)', sqlite: 'current_timestamp' },
  }),
  () => ({ type: 'uuid', default: '01936f3e-0000-7000-8000-000000000000' }),
  () => ({ type: 'json', default: '{"a": "b"}' }),
  () => ({ type: 'blob', default: 'bytes' }),
  () => ({ type: { mysql: 'mediumint', sqlite: 'integer' } }),
]

function randomValues(random: Random): string[] {
  return VALUES.slice(0, 1 + below(random, VALUES.length))
}

/** A column that the databases compute from another of the table; `undefined` where there is none for it. */
function computedColumn(random: Random, { columns }: DraftTable): ColumnState | undefined {
  const bases = Object.keys(columns).filter((name) => mayBeBase(name, columns[name]))
  if (bases.length === 0) return undefined
  const base = pick(random, bases)
  const kind = pick(random, ['virtual', 'stored'])
  const more = pick(random, [1, 2])
  const length = charactersOf(columns[base] as ColumnState)
  const [mysql, sqlite] = [quoteName(base, 'mysql'), quoteName(base, 'sqlite')]
  const sql = (expression: string) =>
    `${length ? `varchar(${length + more})` : 'bigint'} generated always as (${expression}) ${kind}`
  const marks = `'${'!'.repeat(more)}'`
  const type = length
    ? { mysql: sql(`concat(${mysql}, ${marks})`), sqlite: sql(`${sqlite} || ${marks}`) }
    : { mysql: sql(`${mysql} + ${more}`), sqlite: sql(`${sqlite} + ${more}`) }
  return { type, nullable: true }
}

/** A foreign key may change the columns that it is on, which MySQL lets no stored column be computed from. */
function mayBeBase(name: string, column: ColumnState | undefined): boolean {
  if (!column || typeof column.type === 'object' || column.generated) return false
  if (!COLUMNS.includes(name) && !Object.values(KEYS).flat().includes(name)) return false
  // Not of `char`: whether MariaDB fills it with blanks the mode of the session says.
  return /^(boolean|.*int|integer|varchar\(\d+\))$/.test(column.type)
}

function charactersOf({ type }: ColumnState): number | undefined {
  const [, length] = /char\((\d+)\)/.exec(typeof type === 'object' ? type.mysql : type) ?? []
  return length === undefined ? undefined : Number(length)
}

const isComputed = ({ type }: ColumnState) => typeof type === 'object' && / as \(/.test(type.sqlite)

/** Whether each column that is computed has what it is computed from, and of the type that it is written for. */
function isComputable(table: DraftTable): boolean {
  return Object.values(table.columns)
    .filter(isComputed)
    .every((column) => {
      const [, name = ''] = /"(\w+)"/.exec((column.type as PerDialect).sqlite) ?? []
      const base = table.columns[name]
      if (!base || !mayBeBase(name, base)) return false
      const [length = 0, from] = [charactersOf(column), charactersOf(base)]
      return from === undefined ? length === 0 : length > from
    })
}

/** A column is computed that was not there, or that was another, computed or not. */
function computeColumn(random: Random, schema: Draft): void {
  const [name, table] = anyTable(random, schema)
  const own = anyColumn(random, table)
  const column = own === undefined || chance(random, 0.4) ? pick(random, COMPUTED) : own
  if (linkedTo(schema, `${name}.${column}`).size > 1) return
  const { [column]: _, ...columns } = table.columns
  const computed = computedColumn(random, { ...table, columns })
  if (computed) table.columns[column] = computed
}

/** A list of values gets one more. */
function growValues(random: Random, schema: Draft): void {
  const [, { columns }] = anyTable(random, schema)
  for (const [name, column] of Object.entries(columns)) {
    const { length } = column.values ?? VALUES
    if (length < VALUES.length) columns[name] = { ...column, values: VALUES.slice(0, length + 1) }
  }
}

/** What `audit: true` and a version add to a table. */
function addAudit(random: Random, schema: Draft): void {
  const [, { columns }] = anyTable(random, schema)
  columns.created_at ??= { type: 'datetime' }
  columns.updated_by ??= { type: 'varchar(255)', nullable: true }
  columns.version ??= { type: 'integer', default: 1 }
}

function addTable(random: Random, schema: Draft): void {
  const name = pick(random, Object.keys(KEYS))
  schema[name] ??= randomTable(random, name)
}

function dropTable(random: Random, schema: Draft): void {
  if (Object.keys(schema).length === 1) return
  const [name] = anyTable(random, schema)
  delete schema[name]
  dropForeignKeysIf(schema, (key) => key.table === name)
}

function addColumn(random: Random, schema: Draft): void {
  const [, { columns }] = anyTable(random, schema)
  columns[pick(random, COLUMNS)] ??= randomColumn(random)
}

function dropColumn(random: Random, schema: Draft): void {
  const [name, table] = anyTable(random, schema)
  const column = anyColumn(random, table)
  if (column !== undefined) dropWithUses(schema, name, column)
}

function dropWithUses(schema: Draft, name: string, column: string): void {
  const table = schema[name] as DraftTable
  delete table.columns[column]
  for (const [other, one] of Object.entries(table.columns))
    if (isComputedFrom(one, column)) dropWithUses(schema, name, other)
  for (const kind of ['indexes', 'unique'] as const) {
    table[kind] = table[kind].filter(({ columns }) => !columns.includes(column))
  }
  dropForeignKeysIf(
    schema,
    (key, owner) =>
      (owner === name && key.columns.includes(column)) ||
      (key.table === name && key.references.includes(column)),
  )
}

/** A column that refers to another changes with it, and has no values of its own to be checked. */
function alterColumn(random: Random, schema: Draft): void {
  const [name, table] = anyTable(random, schema)
  const column = pick(random, Object.keys(table.columns))
  const isKey = table.primaryKey.includes(column)
  const wanted = isKey ? keyColumn(random, column) : randomColumn(random)
  const linked = linkedTo(schema, `${name}.${column}`)
  for (const place of linked) {
    const [owner = '', own = ''] = place.split('.')
    const { type } = wanted
    const alone = linked.size === 1
    const columns = schema[owner]?.columns as DraftTable['columns']
    const { nullable } = columns[own] as ColumnState
    const kept = nullable ? { type, nullable } : { type }
    columns[own] = alone || place === `${name}.${column}` ? withoutCheck(wanted, alone) : kept
  }
}

function withoutCheck(column: ColumnState, alone: boolean): ColumnState {
  const { values: _, ...rest } = column
  return alone ? column : rest
}

function linkedTo(schema: Draft, place: string): Set<string> {
  const found = new Set([place])
  // A set that grows is walked through to its new end.
  for (const one of found) {
    for (const [owner, key] of foreignKeysOf(schema)) {
      for (const [i, column] of key.columns.entries()) {
        const ends = [`${owner}.${column}`, `${key.table}.${key.references[i]}`]
        if (ends.includes(one)) for (const end of ends) found.add(end)
      }
    }
  }
  return found
}

function addIndex(
  random: Random,
  name: string,
  table: DraftTable,
  kind: 'indexes' | 'unique',
): void {
  const candidates = Object.keys(table.columns).filter((column) => keyBytes(table, [column]) > 0)
  const [referring = []] = table.foreignKeys.map((key) => key.columns)
  const first = chance(random, 0.2) ? referring : []
  const others = shuffled(random, candidates).filter((column) => !first.includes(column))
  const columns = [...first, ...others.slice(0, 1 + below(random, 3))]
  if (columns.length === 0 || keyBytes(table, columns) > MAX_KEY) return
  add(table[kind], { name: nameOf(kind, name, columns), columns })
}

/** Some have a name that somebody gave them: the same for the same columns, and for others, too. */
function nameOf(kind: 'indexes' | 'unique', table: string, columns: readonly string[]): string {
  const [first = ''] = columns
  if (columns.length > 1 && /_|^name$/.test(first)) return `${table}_${kind}_by_${first}`
  return (kind === 'unique' ? uniqueName : indexName)(table, columns)
}

/** An index under a name that somebody gave it gets another column behind the others. */
function extendIndex(random: Random, schema: Draft): void {
  const [name, table] = anyTable(random, schema)
  const column = pick(random, Object.keys(table.columns))
  table.indexes = table.indexes.map((index) => {
    const columns = [...index.columns, column]
    const isGiven = index.name.startsWith(`${name}_indexes_by_`)
    const isRoom = !index.columns.includes(column) && keyBytes(table, columns) <= MAX_KEY
    return isGiven && isRoom ? { ...index, columns } : index
  })
}

function dropIndex(random: Random, schema: Draft, kind: 'indexes' | 'unique'): void {
  const [name, table] = anyTable(random, schema)
  if (table[kind].length === 0) return
  const one = pick(random, table[kind])
  table[kind] = table[kind].filter((other) => other !== one)
  dropForeignKeysIf(
    schema,
    (key) => kind === 'unique' && key.table === name && same(key.references, one.columns),
  )
}

/** Adds the columns that refer, to the primary key or unique columns of any table, its own too. */
function addForeignKey(random: Random, schema: Draft): void {
  const [name, table] = anyTable(random, schema)
  const [target, other] = anyTable(random, schema)
  const references = pick(random, [
    other.primaryKey,
    ...other.unique.map(({ columns }) => [...columns]),
  ])
  const columns = references.map((column) => `${target}_${column}`)
  if (columns.some((column) => table.columns[column])) return
  const referred = references.map((column) => other.columns[column] as ColumnState)
  if (referred.some(isComputed)) return
  // What is null there would be null here by `on update cascade`.
  const nullable = chance(random, 0.5) || referred.some((one) => one.nullable)
  for (const [i, column] of columns.entries()) {
    const { type } = referred[i] as ColumnState
    table.columns[column] = nullable ? { type, nullable } : { type }
  }
  const key = { name: foreignKeyName(name, columns), columns, table: target, references }
  table.foreignKeys.push({ ...key, ...randomActions(random, nullable) })
}

/** What may be null cannot be passed on to what may not: InnoDB refuses the key. */
function withPossibleUpdate(key: ForeignKeyState, own: DraftTable, schema: Draft): ForeignKeyState {
  const { onUpdate, ...rest } = key
  const target = schema[key.table] as DraftTable
  const passesNull = key.columns.some(
    (column, i) =>
      !own.columns[column]?.nullable && target.columns[key.references[i] as string]?.nullable,
  )
  return onUpdate === 'cascade' && passesNull ? rest : key
}

function randomActions(random: Random, nullable: boolean) {
  const actions = nullable ? [...ACTIONS, 'set null' as const] : ACTIONS
  return {
    ...(chance(random, 0.7) && { onDelete: pick(random, actions) }),
    ...(chance(random, 0.3) && { onUpdate: pick(random, actions) }),
  }
}

function dropForeignKey(random: Random, schema: Draft): void {
  const [, table] = anyTable(random, schema)
  table.foreignKeys = table.foreignKeys.slice(1)
}

function changeActions(random: Random, schema: Draft): void {
  const [, table] = anyTable(random, schema)
  table.foreignKeys = table.foreignKeys.map(({ onDelete: _, onUpdate: __, ...key }) => ({
    ...key,
    ...randomActions(
      random,
      key.columns.every((column) => table.columns[column]?.nullable),
    ),
  }))
}

function dropForeignKeysIf(
  schema: Draft,
  isBad: (key: ForeignKeyState, owner: string) => boolean,
): void {
  for (const [name, table] of Object.entries(schema)) {
    table.foreignKeys = table.foreignKeys.filter((key) => !isBad(key, name))
  }
}

function isValid(schema: Draft): boolean {
  const keysFit = Object.values(schema).every((table) =>
    [...table.indexes, ...table.unique, { columns: table.primaryKey }].every(
      ({ columns }) =>
        columns.every((column) => keyBytes(table, [column]) > 0) &&
        keyBytes(table, columns) <= MAX_KEY,
    ),
  )
  const isComplete = Object.values(schema).every(isComputable)
  return (
    keysFit && isComplete && foreignKeysOf(schema).every((owned) => isPossible(schema, ...owned))
  )
}

function isPossible(schema: Draft, owner: string, key: ForeignKeyState): boolean {
  const { columns } = schema[owner] as DraftTable
  const { columns: referred } = schema[key.table] as DraftTable
  const setsNull = key.onDelete === 'set null' || key.onUpdate === 'set null'
  return key.columns.every((column, i) => {
    const { nullable, values, type } = columns[column] as ColumnState
    const mayBecomeNull =
      setsNull || (key.onUpdate === 'cascade' && referred[key.references[i] as string]?.nullable)
    const isPlain = ![columns[column], referred[key.references[i] as string]].some((one) =>
      isComputed(one as ColumnState),
    )
    return isPlain && bytesOf({ type }) > 0 && !values && (nullable || !mayBecomeNull)
  })
}

/** How many bytes the columns take in a key of utf8mb4; `NaN` where one cannot be in a key. */
function keyBytes({ columns }: DraftTable, names: readonly string[]): number {
  return names.map((name) => bytesOf(columns[name] as ColumnState)).reduce((a, b) => a + b, 0)
}

function bytesOf(column: ColumnState): number {
  if (isComputed(column)) return (charactersOf(column) ?? 2) * 4 + 2
  const { type } = column
  if (typeof type !== 'string' || ['text', 'json', 'blob'].includes(type)) return Number.NaN
  const length = /char\((\d+)\)/.exec(type)?.[1]
  if (length) return Number(length) * 4 + 2
  return type === 'uuid' ? 36 : 8
}

/** Every foreign key gets the index that it needs, under the name that a model gives it. */
function finished(schema: Draft): SchemaState {
  const state: Record<string, TableState> = {}
  for (const [name, table] of Object.entries(structuredClone(schema))) {
    for (const { columns } of table.foreignKeys) {
      const served = [
        table.primaryKey,
        ...[...table.unique, ...table.indexes].map((one) => one.columns),
      ]
      if (served.some((all) => columns.every((column, i) => all[i] === column))) continue
      add(table.indexes, { name: indexName(name, columns), columns })
    }
    table.foreignKeys = table.foreignKeys.map((key) => withPossibleUpdate(key, table, schema))
    state[name] = withoutEmpty(table)
  }
  return state
}

function withoutEmpty({ columns, primaryKey, ...lists }: DraftTable): TableState {
  const filled = Object.entries(lists).filter(([, list]) => list.length > 0)
  return { columns, primaryKey, ...Object.fromEntries(filled) }
}

function draftOf(schema: SchemaState): Draft {
  const empty = { indexes: [], unique: [], foreignKeys: [] }
  return Object.fromEntries(
    Object.entries(schema).map(([name, table]) => [
      name,
      structuredClone({ ...empty, ...table }) as DraftTable,
    ]),
  )
}

function foreignKeysOf(schema: Draft): [owner: string, key: ForeignKeyState][] {
  return Object.entries(schema).flatMap(([name, { foreignKeys }]) =>
    foreignKeys.map((key) => [name, key] as [string, ForeignKeyState]),
  )
}

function anyTable(random: Random, schema: Draft): [name: string, table: DraftTable] {
  return pick(random, Object.entries(schema))
}

function anyColumn(random: Random, { columns, primaryKey }: DraftTable): string | undefined {
  const others = Object.keys(columns).filter((column) => !primaryKey.includes(column))
  return others.length > 0 ? pick(random, others) : undefined
}

function add(indexes: IndexState[], index: IndexState): void {
  if (!indexes.some(({ name }) => name === index.name)) indexes.push(index)
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.join() === b.join()
}

function shuffled<T>(random: Random, all: readonly T[]): T[] {
  return all
    .map((one) => [random(), one] as const)
    .sort(([a], [b]) => a - b)
    .map(([, one]) => one)
}

function pick<T>(random: Random, all: readonly T[]): T {
  return all[below(random, all.length)] as T
}

function below(random: Random, end: number): number {
  return Math.floor(random() * end)
}

function chance(random: Random, probability: number): boolean {
  return random() < probability
}
