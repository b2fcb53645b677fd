import type { IndexState, TableState } from '../schema/state.ts'
import { bytesOf, first, type Problem } from './problem.ts'

// InnoDB's limit.
const MAX_KEY = 3072

/** What is wrong with the primary key, the indexes and the foreign keys of a table; undefined: nothing. */
export function checkKeys(state: TableState, checkName: (name: string) => Problem): Problem {
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
  const long = types.findIndex((type) => type === 'text' || type === 'json' || type === 'blob')
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
