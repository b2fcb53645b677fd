import { errors } from '../../errors.ts'
import { isComputed } from '../dialect/ddl.ts'
import { checkName, MAX_NAME } from '../schema/names.ts'
import type { ColumnState, ForeignKeyState, IndexState, TableState } from '../schema/state.ts'
import { bytesOf, describeType, isInteger, isLong, isText, lengthOf } from '../schema/types.ts'
import { MAX_VARCHAR } from './schemas.ts'
import type { AnyDefinition, Model } from './types.ts'

/** What is wrong, in words that end in what to do: the first counts, and nothing behind it is looked at. */
type Problems = Generator<string, void, undefined>

/** @throws {PlinthError} MODEL_INVALID */
function refuse(table: string, problems: Problems): void {
  const [problem] = problems
  if (problem) throw errors.MODEL_INVALID(table, problem)
}

// ---- a table by itself

/**
 * Checks a table by itself; `assertModels` checks what tables have to do with each other.
 *
 * @param added the columns that `audit` and `softDelete` make
 * @throws {PlinthError} MODEL_INVALID
 */
export function assertTable(
  table: string,
  definition: AnyDefinition,
  state: TableState,
  added: readonly string[],
): void {
  refuse(table, ofTable(table, definition, state, added))
}

function* ofTable(
  table: string,
  { columns: declared, generated = [] }: AnyDefinition,
  state: TableState,
  added: readonly string[],
): Problems {
  yield* ofName('the table', table)
  if (Object.keys(declared).length === 0) yield 'it has no columns; give it at least one'
  for (const name of added)
    if (name in declared)
      yield `the column ${name} is made by audit or softDelete; do not declare it, too`
  const names = Object.keys(state.columns)
  for (const [i, name] of names.entries())
    if (names.findIndex((one) => alike(one, name)) < i)
      yield `the column ${name} has the name of another one but for capitals, which databases do not tell apart; rename it`
  for (const [name, column] of Object.entries(state.columns)) {
    yield* ofName('the column', name)
    yield* ofColumn(name, column)
  }
  for (const name of generated) yield* ofGenerated(name, state)
  yield* ofKeys(state)
  yield* ofRow(state)
}

function* ofName(what: string, name: string): Problems {
  if (name.length > MAX_NAME)
    yield `${what} ${name} has a name of ${name.length} characters; ${MAX_NAME} are possible, shorten it`
  if (!/^(?!\d+$)[A-Za-z0-9_]+$/.test(name))
    yield `${what} ${name} cannot be called so; use letters of A to Z, digits and _`
  if (/^(sqlite|plinth)_/i.test(name))
    yield `${what} ${name} cannot begin with ${name.split('_')[0]}_, which is taken; choose another name`
}

function* ofGenerated(name: string, { columns, primaryKey }: TableState): Problems {
  const column = columns[name]
  if (!column) return yield `generated names ${name}, which is no column; add it to columns`
  if (isComputed(column)) return
  if (column.nullable) yield `the column ${name} is generated and cannot be null; make it required`
  if (column.type === 'uuid') return
  // What SQL calls an integer is the author's to know.
  if (typeof column.type === 'string' && !isInteger(column.type))
    yield `the column ${name} is generated and would be ${column.type}; use Type.Integer() or Type.String({ format: 'uuid' })`
  if (primaryKey.length !== 1 || primaryKey[0] !== name)
    yield `the column ${name} is a generated integer; it has to be the whole primary key: primaryKey: ['${name}']`
}

// MySQL's limit for all columns but those that are stored elsewhere.
const MAX_ROW = 65_535

function* ofRow({ columns }: TableState): Problems {
  const bytes = Object.values(columns).reduce((sum, { type }) => sum + bytesOf(type) + 2, 0)
  if (bytes > MAX_ROW)
    yield `a row could have ${bytes} bytes, and MySQL takes ${MAX_ROW}; leave out a maxLength (text), or lower one`
}

function* ofColumn(name: string, column: ColumnState): Problems {
  const { type } = column
  if (column.comparison && !isText(type))
    yield `the column ${name} is ${typeof type === 'string' ? type : type.mysql} and has a comparison; only texts have one: leave it out, or say it in the SQL of its type`
  if (typeof type !== 'string') return
  const known = describeType(type)
  if (!known)
    return yield `the column ${name} has the type ${type}, which is not known; use one of docs/models.md, or { mysql, sqlite }`
  yield* ofSize(name, type, known)
  yield* ofDefault(name, column, known)
}

type Known = NonNullable<ReturnType<typeof describeType>>

function* ofSize(column: string, type: string, { name, size, scale }: Known): Problems {
  if (name === 'decimal' && (size < 1 || size > 65 || scale > Math.min(size, 30)))
    yield `the column ${column} is ${type}; a decimal has 1 to 65 digits, of which up to 30 stand behind the point`
  const longest = name === 'char' ? 255 : MAX_VARCHAR
  if (name.endsWith('char') && (size < 1 || size > longest))
    yield `the column ${column} is ${type}; 1 to ${longest} characters are possible, or text without a maxLength`
}

function* ofDefault(name: string, column: ColumnState, known: Known): Problems {
  const { type, default: value, values } = column
  if (value === undefined || typeof value === 'object') return
  if (known.isLong)
    yield `the column ${name} is ${type}, which has no default in MySQL; give it a maxLength, or no default`
  if (known.isTime)
    yield `the column ${name} is ${type}; say its default in SQL: column(schema, { default: { mysql: '…', sqlite: '…' } })`
  if (typeof value !== known.literal)
    yield `the column ${name} is ${type} and its default is ${JSON.stringify(value)}; make it a ${known.literal}`
  if (values && !values.includes(String(value)))
    yield `the column ${name} has the default ${value}, which is none of its values: ${values.join(', ')}`
  if ([...String(value)].length > (lengthOf(type) ?? Number.POSITIVE_INFINITY))
    yield `the column ${name} is ${type}, and its default ${value} is longer; shorten it, or raise maxLength`
}

// InnoDB's limit.
const MAX_KEY = 3072

/** Of the primary key, the indexes and the foreign keys of a table. */
function* ofKeys(state: TableState): Problems {
  const { primaryKey, indexes = [], unique = [], foreignKeys = [] } = state
  if (primaryKey.length === 0)
    yield "it has no primary key; name its columns: primaryKey: ['code'], or add a column id"
  const named = [...indexes, ...unique]
  const all = [{ name: 'primary key', columns: primaryKey }, ...unique, ...indexes]
  for (const index of all) yield* ofIndex(state, index)
  for (const key of foreignKeys) yield* ofColumns(state, key)
  for (const { name } of [...named, ...foreignKeys]) yield* ofName('the key', name)
  yield* ofTwice(named, ({ name }) => name, 'name')
  yield* ofTwice(foreignKeys, ({ name }) => name, 'name')
  yield* ofTwice(all, ({ columns }) => columns.join(), 'columns')
  for (const name of primaryKey)
    if (state.columns[name]?.nullable)
      yield `the column ${name} is in the primary key and cannot be null; make it required`
  for (const key of foreignKeys) yield* ofSetNull(state, key)
}

function* ofIndex(state: TableState, index: IndexState): Problems {
  yield* ofColumns(state, index)
  const types = index.columns.map((name) => state.columns[name]?.type ?? 'text')
  const long = types.findIndex(isLong)
  if (long !== -1)
    yield `${index.name} has the column ${index.columns[long]}, which is ${types[long]} and cannot be in a key; give it a maxLength`
  const bytes = types.reduce((sum, type) => sum + bytesOf(type), 0)
  if (bytes > MAX_KEY)
    yield `${index.name} has ${bytes} bytes, and MySQL takes ${MAX_KEY} (768 characters); lower the maxLength of its columns`
}

function* ofColumns(table: TableState, { name, columns }: IndexState): Problems {
  if (columns.length === 0) yield `${name} has no columns; name at least one`
  for (const column of columns)
    if (!(column in table.columns))
      yield `${name} has the column ${column}, which is not there; there are ${Object.keys(table.columns).join(', ')}`
  for (const [i, column] of columns.entries())
    if (columns.indexOf(column) !== i) yield `${name} has the column ${column} twice; leave one out`
}

function* ofTwice(
  all: readonly IndexState[],
  key: (index: IndexState) => string,
  what: string,
): Problems {
  const seen = new Map<string, string>()
  for (const index of all) {
    const other = seen.get(key(index))
    if (other) yield `${index.name} has the same ${what} as ${other}; leave one out`
    seen.set(key(index), index.name)
  }
}

function* ofSetNull({ columns }: TableState, key: ForeignKeyState): Problems {
  if (key.onDelete !== 'set null' && key.onUpdate !== 'set null') return
  for (const column of key.columns)
    if (!columns[column]?.nullable)
      yield `${key.name} sets ${column} to null, which cannot be null; make it Type.Optional(…), or choose another action`
}

/** Whether two names differ in capitals at most, which not every database tells apart. */
export const alike = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase()

// ---- tables together

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
  if (logged && !models.some(({ isLog }) => isLog))
    throw errors.MODEL_INVALID(
      logged.table,
      `it has audit: 'log', and there is no table for the log; add AuditLog to the models: models: […, AuditLog]`,
    )
  for (const { table, state } of models)
    for (const key of state.foreignKeys ?? []) refuse(table, ofReference(key, state, tables))
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

function* ofReference(
  { name, columns, table, references, onUpdate }: ForeignKeyState,
  own: TableState,
  tables: ReadonlyMap<string, TableState>,
): Problems {
  const target = tables.get(table)
  if (!target)
    return yield `${name} refers to the table ${table}, which no model has; add its model, or mend the name`
  const there = Object.keys(target.columns)
  if (references.length !== columns.length || !references.every((one) => there.includes(one)))
    yield `${name} refers to ${table}.${references.join()}; there are ${there.join(', ')}`
  const keys = [target.primaryKey, ...(target.unique ?? []).map((index) => index.columns)]
  if (!keys.some((key) => key.join() === references.join()))
    yield `${name} refers to ${table}.${references.join()}, which is neither the primary key nor unique; make it unique`
  for (const [i, column] of columns.entries()) {
    const reference = references[i] as string
    const [from, to] = [own.columns[column], target.columns[reference]]
    if (typeName(from) !== typeName(to))
      yield `${name} refers from ${column} (${typeName(from)}) to ${table}.${reference} (${typeName(to)}); give both the same type`
  }
  if (onUpdate !== 'cascade') return
  // InnoDB refuses such a key; SQLite would fail with the first update.
  for (const [i, column] of columns.entries()) {
    const reference = references[i] as string
    if (!own.columns[column]?.nullable && target.columns[reference]?.nullable)
      yield `${name} has on update cascade from ${table}.${reference}, which may be null, to ${column}, which may not; make both alike`
  }
}

function typeName(column: ColumnState | undefined): string {
  const type = typeof column?.type === 'string' ? column.type : JSON.stringify(column?.type)
  return column?.comparison ? `${type} ${column.comparison}` : type
}
