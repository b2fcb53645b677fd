import { errors } from '../../errors.ts'
import { isComputed } from '../dialect/ddl.ts'
import { MAX_NAME } from '../schema/names.ts'
import type { ColumnState, IndexState, TableState } from '../schema/state.ts'
import { bytesOf, describeType, isInteger, isLong, isText, lengthOf } from '../schema/types.ts'
import { MAX_VARCHAR } from './column.ts'
import type { AnyDefinition } from './model.ts'

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
    checkName('the table', table) ??
    checkAdded(definition, added) ??
    checkCase(Object.keys(state.columns)) ??
    first(
      Object.entries(state.columns),
      ([name, column]) => checkName('the column', name) ?? checkColumn(name, column),
    ) ??
    first(definition.generated ?? [], (name) => checkGenerated(name, state)) ??
    checkKeys(state, (name) => checkName('the key', name)) ??
    checkRow(state)
  if (problem) throw errors.MODEL_INVALID(table, problem)
}

function checkName(what: string, name: string): Problem {
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
function checkKeys(state: TableState, checkName: (name: string) => Problem): Problem {
  const { primaryKey, indexes = [], unique = [], foreignKeys = [] } = state
  if (primaryKey.length === 0)
    return "it has no primary key; name its columns: primaryKey: ['code'], or add a column id"
  const all = [{ name: 'primary key', columns: primaryKey }, ...unique, ...indexes]
  return (
    first(all, (index) => checkIndex(state, index)) ??
    first(foreignKeys, ({ name, columns }) => checkColumns(state, { name, columns })) ??
    first([...indexes, ...unique, ...foreignKeys], ({ name }) => checkName(name)) ??
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
