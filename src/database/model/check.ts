import { errors } from '../../errors.ts'
import { MAX_NAME } from '../schema/names.ts'
import type { TableState } from '../schema/state.ts'
import { checkColumn, isInteger } from './check-column.ts'
import { checkKeys } from './check-keys.ts'
import type { AnyDefinition } from './definition.ts'
import { alike, bytesOf, first, type Problem } from './problem.ts'

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
