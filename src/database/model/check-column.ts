import { isText } from '../schema/sql.ts'
import type { ColumnState, PortableType } from '../schema/state.ts'
import { MAX_VARCHAR } from './column-state.ts'
import type { Problem } from './problem.ts'

const PORTABLE =
  /^(boolean|tinyint|smallint|integer|bigint|double|text|date|time|datetime|uuid|json|blob|decimal\(\d+,\d+\)|(var)?char\(\d+\))$/

/** What is wrong with a column; undefined: nothing. */
export function checkColumn(name: string, column: ColumnState): Problem {
  const { type } = column
  if (column.comparison && !isText(column))
    return `the column ${name} is ${typeof type === 'string' ? type : type.mysql} and has a comparison; only texts have one: leave it out, or say it in the SQL of its type`
  if (typeof type !== 'string') return undefined
  if (!PORTABLE.test(type))
    return `the column ${name} has the type ${type}, which is not known; use one of docs/models.md, or { mysql, sqlite }`
  return checkSize(name, type) ?? checkDefault(name, column, type)
}

/** Whether a column of this type holds whole numbers, of whatever size. */
export function isInteger(type: ColumnState['type']): boolean {
  return typeof type === 'string' && /^(tinyint|smallint|integer|bigint)$/.test(type)
}

function checkSize(name: string, type: string): Problem {
  const [first = 0, second = 0] = Array.from(type.matchAll(/\d+/g), ([digits]) => Number(digits))
  if (type.startsWith('decimal(') && (first < 1 || first > 65 || second > Math.min(first, 30)))
    return `the column ${name} is ${type}; a decimal has 1 to 65 digits, of which up to 30 stand behind the point`
  const longest = type.startsWith('char(') ? 255 : MAX_VARCHAR
  return type.includes('char(') && (first < 1 || first > longest)
    ? `the column ${name} is ${type}; 1 to ${longest} characters are possible, or text without a maxLength`
    : undefined
}

function checkDefault(name: string, column: ColumnState, type: PortableType): Problem {
  const { default: value, values } = column
  if (value === undefined || typeof value === 'object') return undefined
  if (/^(text|json|blob)$/.test(type))
    return `the column ${name} is ${type}, which has no default in MySQL; give it a maxLength, or no default`
  if (/^(date|time|datetime)$/.test(type))
    return `the column ${name} is ${type}; say its default in SQL: column(schema, { default: { mysql: '…', sqlite: '…' } })`
  if (typeof value !== expected(type))
    return `the column ${name} is ${type} and its default is ${JSON.stringify(value)}; make it a ${expected(type)}`
  if (values && !values.includes(String(value)))
    return `the column ${name} has the default ${value}, which is none of its values: ${values.join(', ')}`
  const length = Number(/char\((\d+)\)/.exec(type)?.[1] ?? Number.POSITIVE_INFINITY)
  return [...String(value)].length > length
    ? `the column ${name} is ${type}, and its default ${value} is longer; shorten it, or raise maxLength`
    : undefined
}

function expected(type: PortableType): 'boolean' | 'number' | 'string' {
  if (type === 'boolean') return 'boolean'
  return isInteger(type) || type === 'double' ? 'number' : 'string'
}
