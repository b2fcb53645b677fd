import { type TSchema, Type } from 'typebox'
import { column, decimal, timestamp } from '../../model/column.ts'
import { columnState } from '../../model/column-state.ts'
import { quoteText } from '../sql.ts'
import type { ColumnState } from '../state.ts'
import { call, type Piece } from './source.ts'
import { tokenize } from './tokens.ts'

/** The schema that a model says a column with. What does not follow from it is said with `column`. */
export function columnSource(state: ColumnState): Piece<TSchema> {
  const { type, nullable, values } = state
  const core = values
    ? call('Type.Enum', (all: string[]): TSchema => Type.Enum(all), [...values])
    : typeof type === 'string'
      ? ofType(type)
      : ofSql(type.mysql.toLowerCase(), type.mysql)
  const schema = nullable ? call('Type.Optional', Type.Optional<TSchema>, core) : core
  const value = sayable(state)
  const isOwn = typeof type === 'string' && columnState(core.value)?.type === type
  if (isOwn && value === undefined) return schema
  // `column` forgets what another one has said.
  const isPlain = isOwn && !('~column' in core.value)
  const said = { ...(!isPlain && { type }), ...(value !== undefined && { default: value }) }
  return call('column', column<TSchema, typeof said>, schema, said)
}

/** A default that a model takes: that of a text, a date or a number too large for JavaScript it wants in SQL. */
function sayable({ type, default: value }: ColumnState): ColumnState['default'] {
  if (typeof value !== 'string' || typeof type !== 'string') return value
  if (/^(tinyint|smallint|integer|bigint|double)$/.test(type))
    return { mysql: value, sqlite: value }
  if (!/^(text|json|blob|date|time|datetime)$/.test(type)) return value
  const mysql = quoteText(value, 'mysql')
  // MySQL takes an expression there, but no plain value.
  const isLong = /^(text|json|blob)$/.test(type)
  return { mysql: isLong ? `(${mysql})` : mysql, sqlite: quoteText(value, 'sqlite') }
}

/** `Type.Integer` with the bounds of so many bits. */
function integer(bits: number, unsigned = false): Piece<TSchema> {
  const top = unsigned ? bits : bits - 1
  const bounds = { minimum: unsigned ? 0 : -(2 ** top), maximum: 2 ** top - 1 }
  return call('Type.Integer', (given: typeof bounds): TSchema => Type.Integer(given), bounds)
}

const string = (options?: { format?: string; maxLength?: number; pattern?: string }) =>
  options
    ? call('Type.String', (given: typeof options): TSchema => Type.String(given), options)
    : call('Type.String', (): TSchema => Type.String())

const unknown = () => call('Type.Unknown', (): TSchema => Type.Unknown())
const number = () => call('Type.Number', (): TSchema => Type.Number())

function ofType(type: string): Piece<TSchema> {
  const [first = 0, second = 0] = Array.from(type.matchAll(/\d+/g), ([digits]) => Number(digits))
  if (type.startsWith('decimal')) {
    return call('decimal', (p: number, s: number): TSchema => decimal(p, s), first, second)
  }
  if (type.includes('char')) return string({ maxLength: first })
  switch (type) {
    case 'boolean':
      return call('Type.Boolean', (): TSchema => Type.Boolean())
    case 'tinyint':
      return integer(8)
    case 'smallint':
      return integer(16)
    case 'integer':
      return integer(32)
    case 'bigint':
      return call('Type.Integer', (): TSchema => Type.Integer())
    case 'double':
      return number()
    case 'datetime':
      return call('timestamp', (): TSchema => timestamp())
    case 'date':
    case 'time':
    case 'uuid':
      return string({ format: type })
    case 'text':
      return string()
    default:
      return unknown()
  }
}

const BITS: Readonly<Record<string, number>> = { tiny: 8, small: 16, medium: 24, '': 32 }

/** The nearest schema of a type that only a database knows. */
function ofSql(type: string, sql: string): Piece<TSchema> {
  const whole = /^(tiny|small|medium|big|)int\b/.exec(type)?.[1]
  const unsigned = type.includes('unsigned')
  if (whole === 'big') {
    return unsigned
      ? call('Type.Integer', (o: { minimum: number }): TSchema => Type.Integer(o), { minimum: 0 })
      : ofType('bigint')
  }
  if (whole !== undefined) return integer(BITS[whole] ?? 32, unsigned)
  if (/^year/.test(type)) return integer(16, true)
  if (/^(float|double|real)/.test(type)) return number()
  const listed = /^enum\(/.test(type) ? tokenize(sql, { backslashes: true }) : []
  const values = listed.filter(({ kind }) => kind === 'string').map(({ text }) => text)
  if (values.length > 0) return string({ pattern: `^(?:${values.map(escaped).join('|')})$` })
  const size = /^(?:var)?char\((\d+)\)/.exec(type)?.[1]
  if (size) return string({ maxLength: Number(size) })
  if (/^(datetime|timestamp)/.test(type)) return ofType('datetime')
  if (/^date/.test(type)) return string({ format: 'date' })
  const digits = /^decimal\(\d+,\d+\)/.exec(type)?.[0]
  if (digits) return ofType(digits)
  return /^(decimal|numeric|set|time|.*text)/.test(type) ? string() : unknown()
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}
