import { errors } from '../../errors.ts'
import { isComputed } from '../dialect/ddl.ts'
import { checkName, MAX_NAME } from '../schema/names.ts'
import type { ColumnState, ForeignKeyState, IndexState, TableState } from '../schema/state.ts'
import { bytesOf, describeType, isInteger, isLong, isText, lengthOf } from '../schema/types.ts'
import { MAX_VARCHAR } from './schemas.ts'
import type { AnyDefinition, Model } from './types.ts'

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
  const problem =
    checkCalled('the table', table) ??
    checkAdded(definition, added) ??
    checkCase(Object.keys(state.columns)) ??
    first(
      Object.entries(state.columns),
      ([name, column]) => checkCalled('the column', name) ?? checkColumn(name, column),
    ) ??
    first(definition.generated ?? [], (name) => checkGenerated(name, state)) ??
    checkKeys(state) ??
    checkRow(state)
  if (problem) throw errors.MODEL_INVALID(table, problem)
}

function checkCalled(what: string, name: string): Problem {
  if (name.length > MAX_NAME)
    return `${what} ${name} has a name of ${name.length} characters; ${MAX_NAME} are possible, shorten it`
  if (!/^(?!\d+$)[A-Za-z0-9_]+$/.test(name))
    return `${what} ${name} cannot be called so; use letters of A to Z, digits and _`
  if (/^(sqlite|plinth)_/i.test(name))
    return `${what} ${name} cannot begin with ${name.split('_')[0]}_, which is taken; choose another name`
  return undefined
}

function checkAdded({ columns }: AnyDefinition, added: readonly string[]): Problem {
  if (Object.keys(columns).length === 0) return 'it has no columns; give it at least one'
  const twice = added.find((name) => name in columns)
  return twice === undefined
    ? undefined
    : `the column ${twice} is made by audit or softDelete; do not declare it, too`
}

function checkCase(names: readonly string[]): Problem {
  const twice = names.find((name, i) => names.findIndex((one) => alike(one, name)) < i)
  return twice === undefined
    ? undefined
    : `the column ${twice} has the name of another one but for capitals, which databases do not tell apart; rename it`
}

function checkGenerated(name: string, { columns, primaryKey }: TableState): Problem {
  const column = columns[name]
  if (!column) return `generated names ${name}, which is no column; add it to columns`
  if (isComputed(column)) return undefined
  if (column.nullable) return `the column ${name} is generated and cannot be null; make it required`
  if (column.type === 'uuid') return undefined
  // What SQL calls an integer is the author's to know.
  if (typeof column.type === 'string' && !isInteger(column.type))
    return `the column ${name} is generated and would be ${String(column.type)}; use Type.Integer() or Type.String({ format: 'uuid' })`
  return primaryKey.length === 1 && primaryKey[0] === name
    ? undefined
    : `the column ${name} is a generated integer; it has to be the whole primary key: primaryKey: ['${name}']`
}

// MySQL's limit for all columns but those that are stored elsewhere.
const MAX_ROW = 65_535

function checkRow({ columns }: TableState): Problem {
  const bytes = Object.values(columns).reduce((sum, { type }) => sum + bytesOf(type) + 2, 0)
  return bytes > MAX_ROW
    ? `a row could have ${bytes} bytes, and MySQL takes ${MAX_ROW}; leave out a maxLength (text), or lower one`
    : undefined
}

/** What is wrong with a column; undefined: nothing. */
function checkColumn(name: string, column: ColumnState): Problem {
  const { type } = column
  if (column.comparison && !isText(type))
    return `the column ${name} is ${typeof type === 'string' ? type : type.mysql} and has a comparison; only texts have one: leave it out, or say it in the SQL of its type`
  if (typeof type !== 'string') return undefined
  const known = describeType(type)
  if (!known)
    return `the column ${name} has the type ${type}, which is not known; use one of docs/models.md, or { mysql, sqlite }`
  return checkSize(name, type, known) ?? checkDefault(name, column, known)
}

type Known = NonNullable<ReturnType<typeof describeType>>

function checkSize(column: string, type: string, { name, size, scale }: Known): Problem {
  if (name === 'decimal' && (size < 1 || size > 65 || scale > Math.min(size, 30)))
    return `the column ${column} is ${type}; a decimal has 1 to 65 digits, of which up to 30 stand behind the point`
  const longest = name === 'char' ? 255 : MAX_VARCHAR
  return name.endsWith('char') && (size < 1 || size > longest)
    ? `the column ${column} is ${type}; 1 to ${longest} characters are possible, or text without a maxLength`
    : undefined
}

function checkDefault(name: string, column: ColumnState, known: Known): Problem {
  const { type, default: value, values } = column
  if (value === undefined || typeof value === 'object') return undefined
  if (known.isLong)
    return `the column ${name} is ${type}, which has no default in MySQL; give it a maxLength, or no default`
  if (known.isTime)
    return `the column ${name} is ${type}; say its default in SQL: column(schema, { default: { mysql: '…', sqlite: '…' } })`
  if (typeof value !== known.literal)
    return `the column ${name} is ${type} and its default is ${JSON.stringify(value)}; make it a ${known.literal}`
  if (values && !values.includes(String(value)))
    return `the column ${name} has the default ${value}, which is none of its values: ${values.join(', ')}`
  return [...String(value)].length > (lengthOf(type) ?? Number.POSITIVE_INFINITY)
    ? `the column ${name} is ${type}, and its default ${value} is longer; shorten it, or raise maxLength`
    : undefined
}

// InnoDB's limit.
const MAX_KEY = 3072

/** What is wrong with the primary key, the indexes and the foreign keys of a table; undefined: nothing. */
function checkKeys(state: TableState): Problem {
  const { primaryKey, indexes = [], unique = [], foreignKeys = [] } = state
  if (primaryKey.length === 0)
    return "it has no primary key; name its columns: primaryKey: ['code'], or add a column id"
  const all = [{ name: 'primary key', columns: primaryKey }, ...unique, ...indexes]
  return (
    first(all, (index) => checkIndex(state, index)) ??
    first(foreignKeys, ({ name, columns }) => checkColumns(state, { name, columns })) ??
    first([...indexes, ...unique, ...foreignKeys], ({ name }) => checkCalled('the key', name)) ??
    checkTwice([...indexes, ...unique], ({ name }) => name, 'name') ??
    checkTwice(foreignKeys, ({ name }) => name, 'name') ??
    checkTwice(all, ({ columns }) => columns.join(), 'columns') ??
    first(primaryKey, (name) => checkRequired(state, name)) ??
    first(foreignKeys, (key) => checkSetNull(state, key))
  )
}

function checkIndex(state: TableState, index: IndexState): Problem {
  const problem = checkColumns(state, index)
  if (problem) return problem
  const types = index.columns.map((name) => state.columns[name]?.type ?? 'text')
  const long = types.findIndex(isLong)
  if (long !== -1)
    return `${index.name} has the column ${index.columns[long]}, which is ${types[long]} and cannot be in a key; give it a maxLength`
  const bytes = types.reduce((sum, type) => sum + bytesOf(type), 0)
  return bytes > MAX_KEY
    ? `${index.name} has ${bytes} bytes, and MySQL takes ${MAX_KEY} (768 characters); lower the maxLength of its columns`
    : undefined
}

function checkColumns({ columns }: TableState, index: IndexState): Problem {
  if (index.columns.length === 0) return `${index.name} has no columns; name at least one`
  const missing = index.columns.find((name) => !(name in columns))
  if (missing !== undefined)
    return `${index.name} has the column ${missing}, which is not there; there are ${Object.keys(columns).join(', ')}`
  const twice = index.columns.find((name, i) => index.columns.indexOf(name) !== i)
  return twice === undefined
    ? undefined
    : `${index.name} has the column ${twice} twice; leave one out`
}

function checkTwice(
  all: readonly IndexState[],
  key: (index: IndexState) => string,
  what: string,
): Problem {
  const seen = new Map<string, string>()
  return first(all, (index) => {
    const other = seen.get(key(index))
    seen.set(key(index), index.name)
    return other && `${index.name} has the same ${what} as ${other}; leave one out`
  })
}

function checkRequired({ columns }: TableState, name: string): Problem {
  return columns[name]?.nullable
    ? `the column ${name} is in the primary key and cannot be null; make it required`
    : undefined
}

function checkSetNull(
  { columns }: TableState,
  { name, columns: own, onDelete, onUpdate }: NonNullable<TableState['foreignKeys']>[number],
): Problem {
  const sets = onDelete === 'set null' || onUpdate === 'set null'
  const required = sets ? own.find((column) => !columns[column]?.nullable) : undefined
  return required === undefined
    ? undefined
    : `${name} sets ${required} to null, which cannot be null; make it Type.Optional(…), or choose another action`
}

/** What is wrong, in words that end in what to do; undefined: nothing. */
type Problem = string | undefined

/** The first problem that `check` finds with one of `items`. */
function first<T>(items: readonly T[], check: (item: T) => Problem): Problem {
  for (const item of items) {
    const problem = check(item)
    if (problem) return problem
  }
  return undefined
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
