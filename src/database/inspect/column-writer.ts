import { type TSchema, Type } from 'typebox'
import { quoteText } from '../dialect/ddl.ts'
import { tokenize } from '../dialect/sql-text.ts'
import { column, columnState, decimal, timestamp } from '../model/column.ts'
import { Call } from '../print.ts'
import type { ColumnState } from '../schema/state.ts'
import { charactersOf, describeType, type PortableType } from '../schema/types.ts'

/** The schema that a model says a column with. What does not follow from it is said with `column`. */
export function columnSource(state: ColumnState): Piece<TSchema> {
  const { type, nullable, values, comparison } = state
  const core = values
    ? call('Type.Enum', (all: string[]): TSchema => Type.Enum(all), [...values])
    : typeof type === 'string'
      ? ofType(type)
      : ofSql(type.mysql.toLowerCase(), type.mysql)
  const schema = nullable ? call('Type.Optional', Type.Optional<TSchema>, core) : core
  const value = sayable(state)
  const isOwn = typeof type === 'string' && columnState(core.value)?.type === type
  if (isOwn && value === undefined && !comparison) return schema
  // `column` forgets what another one has said.
  const isPlain = isOwn && !('~column' in core.value)
  const said = {
    ...(!isPlain && { type }),
    ...(value !== undefined && { default: value }),
    ...(comparison && { comparison }),
  }
  return call('column', column<TSchema, typeof said>, schema, said)
}

/** A default that a model takes: that of a text, a date or a number too large for JavaScript it wants in SQL. */
function sayable({ type, default: value }: ColumnState): ColumnState['default'] {
  if (typeof value !== 'string' || typeof type !== 'string') return value
  const known = describeType(type)
  if (known?.literal === 'number') return { mysql: value, sqlite: value }
  if (!known?.isLong && !known?.isTime) return value
  const mysql = quoteText(value, 'mysql')
  // MySQL takes an expression there, but no plain value.
  return { mysql: known.isLong ? `(${mysql})` : mysql, sqlite: quoteText(value, 'sqlite') }
}

/** `Type.Integer` with the bounds of so many bits. */
function integer(bits: number, unsigned = false): Piece<TSchema> {
  const top = unsigned ? bits : bits - 1
  const bounds = { minimum: unsigned ? 0 : -(2 ** top), maximum: 2 ** top - 1 }
  return bounded(Type.Integer, 'Type.Integer', bounds)
}

const string = (options?: { format?: string; maxLength?: number; pattern?: string }) =>
  options
    ? call('Type.String', (given: typeof options): TSchema => Type.String(given), options)
    : call('Type.String', (): TSchema => Type.String())

const unknown = () => call('Type.Unknown', (): TSchema => Type.Unknown())
const number = () => call('Type.Number', (): TSchema => Type.Number())

function ofType(type: PortableType): Piece<TSchema> {
  const { name, size, scale, bits, format, isText } = describeType(type) ?? {}
  if (name === 'decimal')
    return call('decimal', (p: number, s: number): TSchema => decimal(p, s), size ?? 0, scale ?? 0)
  if (name === 'boolean') return call('Type.Boolean', (): TSchema => Type.Boolean())
  if (name === 'double') return number()
  if (name === 'datetime') return call('timestamp', (): TSchema => timestamp())
  if (bits === 64) return call('Type.Integer', (): TSchema => Type.Integer())
  if (bits) return integer(bits)
  if (format) return string({ format })
  if (isText) return size ? string({ maxLength: size }) : string()
  return unknown()
}

const BITS: Readonly<Record<string, number>> = { tiny: 8, small: 16, medium: 24, '': 32 }

// So many bytes, and a character has at least one: what is too long in bytes only is the server's to refuse.
const TEXTS: Readonly<Record<string, number>> = {
  tiny: 2 ** 8 - 1,
  '': 2 ** 16 - 1,
  medium: 2 ** 24 - 1,
}

const MAX_FLOAT = 3.402823466e38

// MySQL's TIME is a duration, too: up to 838 hours, either way.
const DURATION = '^-?([0-7]?\\d?\\d|8[0-2]\\d|83[0-8]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?$'

/** The nearest schema of a type that only a database knows. */
function ofSql(type: string, sql: string): Piece<TSchema> {
  const unsigned = type.includes('unsigned')
  const whole = /^(tiny|small|medium|big|)int\b/.exec(type)?.[1]
  if (whole !== undefined) return ofWhole(whole, unsigned)
  // 0 is a year, too.
  if (/^year/.test(type))
    return bounded(Type.Integer, 'Type.Integer', { minimum: 0, maximum: 2155 })
  if (/^(float|double|real)/.test(type)) return ofFloat(type.startsWith('float'), unsigned)
  const values = /^(enum|set)\(/.test(type) ? valuesOf(sql) : []
  if (values.length > 0) return ofValues(values, type.startsWith('set'))
  if (/^(datetime|timestamp)/.test(type)) return ofType('datetime')
  const format = /^(date|uuid|inet4|inet6)\b/.exec(type)?.[1]
  if (format) return string({ format: format.replace('inet', 'ipv') })
  if (/^time\b/.test(type)) return string({ pattern: DURATION })
  const [decimals, precision = 0, scale = 0] =
    /^(?:decimal|numeric)\((\d+),(\d+)\)/.exec(type) ?? []
  if (decimals) return ofDecimal(Number(precision), Number(scale), unsigned)
  return ofText(type)
}

function ofWhole(size: string, unsigned: boolean): Piece<TSchema> {
  if (size !== 'big') return integer(BITS[size] ?? 32, unsigned)
  return unsigned ? bounded(Type.Integer, 'Type.Integer', { minimum: 0 }) : ofType('bigint')
}

function ofFloat(isSingle: boolean, unsigned: boolean): Piece<TSchema> {
  if (!isSingle) return unsigned ? bounded(Type.Number, 'Type.Number', { minimum: 0 }) : number()
  const bounds = { minimum: unsigned ? 0 : -MAX_FLOAT, maximum: MAX_FLOAT }
  return bounded(Type.Number, 'Type.Number', bounds)
}

function ofDecimal(precision: number, scale: number, unsigned: boolean): Piece<TSchema> {
  if (!unsigned) return ofType(`decimal(${precision},${scale})`)
  const { pattern } = decimal(precision, scale) as { pattern?: string }
  const plain = { pattern: String(pattern).replace('-?', '') }
  const make = (p: number, s: number, o: typeof plain): TSchema => decimal(p, s, o)
  return call('decimal', make, precision, scale, plain)
}

/** One of the texts; of a set any of them, joined by commas. */
function ofValues(values: readonly string[], isSet: boolean): Piece<TSchema> {
  const one = `(?:${values.map(escaped).join('|')})`
  return string({ pattern: isSet ? `^(?:${one}(?:,${one})*)?$` : `^${one}$` })
}

function valuesOf(sql: string): string[] {
  const tokens = tokenize(sql, { backslashes: true })
  return tokens.filter(({ kind }) => kind === 'string').map(({ text }) => text)
}

function ofText(type: string): Piece<TSchema> {
  const size = /^(?:var)?char\((\d+)\)/.exec(type)?.[1]
  const long = /^(tiny|medium|)text\b/.exec(type)?.[1]
  if (!size && !/^(decimal|numeric|.*text)/.test(type)) return unknown()
  const maxLength = size ? Number(size) : TEXTS[long ?? 'long']
  const pattern = charactersOf({ mysql: type, sqlite: type })
  if (maxLength === undefined && pattern === undefined) return string()
  return string({
    ...(maxLength !== undefined && { maxLength }),
    ...(pattern !== undefined && { pattern }),
  })
}

type Bounds = { minimum?: number; maximum?: number }

function bounded(make: (bounds: Bounds) => TSchema, name: string, bounds: Bounds): Piece<TSchema> {
  return call(name, (given: Bounds): TSchema => make(given), bounds)
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}

/** A value together with the call in TypeScript that makes it. */
export class Piece<T = unknown> extends Call {
  readonly value: T

  constructor(name: string, args: readonly unknown[], value: T) {
    super(name, args)
    this.value = value
  }
}

/** Calls `fn` and remembers how: an argument may be such a piece itself. */
function call<Args extends readonly unknown[], T>(
  name: string,
  fn: (...args: Args) => T,
  ...args: { readonly [Index in keyof Args]: Args[Index] | Piece<Args[Index]> }
): Piece<T> {
  const values = args.map((arg) => (arg instanceof Piece ? arg.value : arg)) as unknown as Args
  return new Piece(name, args, fn(...values))
}
