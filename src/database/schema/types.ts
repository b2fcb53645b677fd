/** The databases that schemas are written for. */
export type DialectName = 'mysql' | 'sqlite'

/** SQL as each database says it. */
export type PerDialect = Readonly<Record<DialectName, string>>

/** What a column holds, in words that mean the same on every database. */
export type PortableType =
  | 'boolean'
  | 'tinyint'
  | 'smallint'
  | 'integer'
  | 'bigint'
  | 'double'
  | `decimal(${number},${number})`
  | `char(${number})`
  | `varchar(${number})`
  | 'text'
  | 'date'
  | 'time'
  | 'datetime'
  | 'uuid'
  | 'json'
  | 'blob'

/** A portable type, or the SQL of each database where there is none. */
export type ColumnType = PortableType | PerDialect

type Literal = string | number | boolean

/** All that a type is to the databases, to schemas, and to migrations: a new one is added here. */
interface TypeDefinition {
  /** What MySQL calls it; default: as we do. */
  readonly mysql?: string
  /** What SQLite calls it; default: as we do. */
  readonly sqlite?: string
  /** What tables of SQLite may call it, too. */
  readonly aliases?: readonly string[]
  /** What a default is that is no SQL. */
  readonly literal: 'boolean' | 'number' | 'string'
  /** Of an integer. */
  readonly bits?: number
  /** Whether its default has to be SQL, as that of a point in time. */
  readonly isTime?: true
  /** Whether MySQL keeps it beside the row: it has no plain default there, and is in no key. */
  readonly isLong?: true
  /** Whether it holds texts, which are compared in one way or another. */
  readonly isText?: true
  /** The format of JSON Schema that asks for it. */
  readonly format?: string
  /** How many bytes it takes in a key or a row of MySQL, about. */
  readonly bytes?: (size: number) => number
  /** How many digits there may be before the decimal point, and behind it; of what is no number none. */
  readonly digits?: (size: number, scale: number) => readonly [whole: number, decimals: number]
  /** How many characters a value may have, written out; default: of a number as many as it needs. */
  readonly characters?: (size: number) => number
  /** A default as it is written into a table, where that is another than what is said. */
  readonly written?: (value: string, dialect: DialectName) => string | Buffer
  /** A default in the form that reading it from a table gives, where that is no text. */
  readonly read?: (value: Literal, scale: number) => Literal
  /** What is so of a value of SQLite that has no place in it, in SQL; default: MySQL would take any. */
  readonly misfit?: (name: string, size: number, scale: number) => string
  /** What is so of a value of MySQL that its strict mode refuses, in SQL; default: it takes any. */
  readonly refused?: (name: string, isWritten: boolean, size: number) => readonly string[]
}

// As MySQL reads a number from a text.
const NUMBER = "'^ *[-+]?([0-9]+([.][0-9]*)?|[.][0-9]+)(e[-+]?[0-9]+)? *$'"
const noNumber = (name: string, isWritten: boolean) =>
  isWritten ? [`${name} not regexp ${NUMBER}`] : []
const noDay = (name: string) => [`cast(${name} as datetime(3)) is null and ${name} is not null`]
const tooLong = (name: string, size: number) => `char_length(${name}) > ${size}`

const integer = (bits: number, names: Partial<TypeDefinition> = {}): TypeDefinition => {
  const top = 2n ** BigInt(bits - 1)
  return {
    ...names,
    literal: 'number',
    bits,
    digits: () => [String(top).length, 0],
    read: numeric,
    misfit: (name) =>
      `not (${isNumber(name)} and cast(${name} as numeric) between ${-top} and ${top - 1n})`,
    refused: (name, isWritten) => [
      ...noNumber(name, isWritten),
      `${name} not between ${-top} and ${top - 1n}`,
    ],
  }
}

const text = (isFixed: boolean): TypeDefinition => ({
  literal: 'string',
  ...(isFixed ? {} : { mysql: 'longtext', isLong: true }),
  isText: true,
  characters: (size) => (isFixed ? size : Number.POSITIVE_INFINITY),
  ...(isFixed && {
    bytes: (size: number) => size * 4,
    misfit: (name: string, size: number) => `length(cast(${name} as text)) > ${size}`,
    refused: (name: string, _: boolean, size: number) => [tooLong(name, size)],
  }),
})

const DATE = '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'
const isNoTime = (name: string, kind: string, pattern: string) =>
  `${kind}(${name}) is null or ${name} not glob '${pattern}'`

const TYPES: Readonly<Record<string, TypeDefinition>> = {
  boolean: {
    mysql: 'tinyint(1)',
    aliases: ['bool', 'tinyint(1)'],
    literal: 'boolean',
    digits: () => [1, 0],
    read: (value) => (/^[01]$/.test(String(Number(value))) ? Boolean(Number(value)) : value),
    misfit: (name) => `not (${isNumber(name)} and cast(${name} as numeric) between -128 and 127)`,
  },
  tinyint: integer(8),
  smallint: integer(16),
  integer: integer(32, { mysql: 'int', aliases: ['int'] }),
  bigint: integer(64),
  double: {
    sqlite: 'double precision',
    aliases: ['double', 'real', 'float'],
    literal: 'number',
    // What it keeps of every integer.
    digits: () => [15, Number.POSITIVE_INFINITY],
    characters: () => 24,
    read: numeric,
    misfit: (name) => `not ${isNumber(name)}`,
    refused: noNumber,
  },
  decimal: {
    literal: 'string',
    digits: (size, scale) => [size - scale, scale],
    characters: (size) => size + 2,
    read: (value, scale) => padded(String(value), scale),
    misfit: (name, size, scale) =>
      `not (${isNumber(name)} and abs(cast(${name} as numeric)) < 1e${size - scale})`,
    refused: noNumber,
  },
  char: text(true),
  varchar: text(true),
  text: text(false),
  date: {
    literal: 'string',
    isTime: true,
    format: 'date',
    characters: () => 10,
    misfit: (name) => isNoTime(name, 'date', DATE),
    refused: noDay,
  },
  time: {
    mysql: 'time(3)',
    literal: 'string',
    isTime: true,
    format: 'time',
    characters: () => 12,
    read: (value) => milliseconds(String(value)),
    misfit: (name) => isNoTime(name, 'time', '[0-9][0-9]:[0-9][0-9]*'),
    refused: (name, isWritten) => (isWritten ? [`${name} not regexp '^[0-9]{1,3}:[0-9]{2}'`] : []),
  },
  datetime: {
    mysql: 'datetime(3)',
    sqlite: 'datetime(3)',
    aliases: ['datetime', 'timestamp'],
    literal: 'string',
    isTime: true,
    format: 'date-time',
    characters: () => 24,
    written: instant,
    read: (value) => milliseconds(String(value).replace('T', ' ').replace(/Z$/, '')),
    misfit: (name) => isNoTime(name, 'datetime', DATE),
    refused: noDay,
  },
  uuid: {
    mysql: 'char(36) character set ascii collate ascii_bin',
    sqlite: 'char(36)',
    literal: 'string',
    format: 'uuid',
    bytes: () => 36,
    characters: () => 36,
    refused: (name) => [tooLong(name, 36), `${name} regexp '[^ -~]'`],
  },
  json: {
    literal: 'string',
    isLong: true,
    characters: () => Number.POSITIVE_INFINITY,
    written: (value) => value,
    misfit: (name) => `not json_valid(cast(${name} as text))`,
    refused: (name, isWritten) => (isWritten ? [`not json_valid(${name})`] : []),
  },
  blob: {
    mysql: 'longblob',
    literal: 'string',
    isLong: true,
    written: (value) => Buffer.from(value),
  },
}

/** A portable type taken apart. */
interface Parsed {
  readonly name: string
  readonly definition: TypeDefinition
  /** How many characters or digits, of a type that says it. */
  readonly size: number
  readonly scale: number
}

const SIZED = /^(decimal|char|varchar)$/

/** @returns undefined for what is none of ours, as SQL of the author's */
function parse(type: ColumnType): Parsed | undefined {
  if (typeof type !== 'string') return undefined
  const [, name = '', size, scale] = /^(\w+)(?:\((\d+)(?:,(\d+))?\))?$/.exec(type) ?? []
  const definition = Object.hasOwn(TYPES, name) ? TYPES[name] : undefined
  const isWhole = SIZED.test(name)
    ? size !== undefined && (scale !== undefined) === (name === 'decimal')
    : size === undefined
  return definition && isWhole
    ? { name, definition, size: Number(size ?? 0), scale: Number(scale ?? 0) }
    : undefined
}

/** What a type is to all that works with columns; `undefined` for SQL of the author's, and for what is no type. */
export function describeType(type: ColumnType) {
  const parsed = parse(type)
  if (!parsed) return undefined
  const { name, size, scale, definition } = parsed
  const { literal, bits, format, isTime = false, isLong = false, isText = false } = definition
  return { name, size, scale, literal, bits, format, isTime, isLong, isText }
}

/** Whether it holds texts, which are compared in one way or another. */
export const isText = (type: ColumnType): boolean => parse(type)?.definition.isText ?? false

/** Whether a column of this type holds whole numbers, of whatever size. */
export const isInteger = (type: ColumnType): boolean => parse(type)?.definition.bits !== undefined

/** Whether MySQL keeps it beside the row: it has no plain default there, and is in no key. */
export const isLong = (type: ColumnType): boolean => parse(type)?.definition.isLong ?? false

/** How many bits an integer of this type has; `undefined`: it is none. */
export const bitsOf = (type: ColumnType): number | undefined => parse(type)?.definition.bits

/** How many characters a text of this type may have; `undefined`: it does not say it. */
export function lengthOf(type: ColumnType): number | undefined {
  const parsed = parse(type)
  return parsed?.definition.isText && parsed.size > 0 ? parsed.size : undefined
}

/** The type that a format of JSON Schema asks for. */
export function typeOfFormat(format: string): PortableType | undefined {
  return Object.keys(TYPES).find((name) => TYPES[name]?.format === format) as
    | PortableType
    | undefined
}

/** How many bytes a column may take in an index or a row of MySQL, about. */
export function bytesOf(type: ColumnType): number {
  const parsed = parse(type)
  return parsed?.definition.bytes?.(parsed.size) ?? 12
}

// ---- what the databases call it

/** A type as a database calls it. */
export function typeSql(type: ColumnType, dialect: DialectName): string {
  if (typeof type === 'object') return type[dialect]
  if (dialect === 'sqlite' && type.startsWith('decimal')) return sqliteDecimal(type)
  return TYPES[type]?.[dialect] ?? type
}

/** The portable type that a database calls so; `undefined`: there is none. */
export function portableType(declared: string, dialect: DialectName): PortableType | undefined {
  const known = NAMES[dialect].get(declared)
  if (known) return known
  if (/^(?:var)?char\(\d+\)$/.test(declared)) return declared as PortableType
  const [, precision, scale] = /^decimal(?:_text)?\((\d+),(\d+)\)$/.exec(declared) ?? []
  const decimal = `decimal(${Number(precision)},${Number(scale)})` as const
  if (precision === undefined) return undefined
  // Another one that SQLite calls so is kept, and compared, in another way.
  return dialect === 'mysql' || sqliteDecimal(decimal) === declared ? decimal : undefined
}

const NAMES = { mysql: namesIn('mysql'), sqlite: namesIn('sqlite') } as const

function namesIn(dialect: DialectName): ReadonlyMap<string, PortableType> {
  const plain = Object.entries(TYPES).filter(([name]) => !SIZED.test(name))
  return new Map(
    plain.flatMap(([name, { aliases = [], ...own }]) =>
      [own[dialect] ?? name, ...(dialect === 'sqlite' ? aliases : [])].map(
        (declared) => [declared, name as PortableType] as const,
      ),
    ),
  )
}

/** How many digits a floating point number keeps of every decimal. */
const EXACT_DIGITS = 15

/**
 * A decimal in SQLite: a number, which it compares and sorts as such, as long as that is exact. A longer one is kept as it is written, by
 * a type with TEXT in its name.
 */
export function sqliteDecimal(type: string): string {
  return isExactDecimal(type) ? type : type.replace('decimal', 'decimal_text')
}

/** Whether SQLite keeps a decimal of this type as a number. */
export function isExactDecimal(type: string): boolean {
  return Number(/^decimal\((\d+)/.exec(type)?.[1] ?? Number.POSITIVE_INFINITY) <= EXACT_DIGITS
}

// What latin1 has instead of the characters 80 to 9F: MySQL means cp1252 by it.
const CP1252 = '€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ'

const BASIC = '\\u0000-\\uffff'

// What MySQL's character sets have, as a class of a regular expression with the flag `u`. Where one is not here, the
// server alone knows.
const CHARACTERS: Readonly<Record<string, string>> = {
  ascii: '\\u0000-\\u007f',
  latin1: `\\u0000-\\u00ff${CP1252}`,
  utf8: BASIC,
  utf8mb3: BASIC,
  ucs2: BASIC,
}

/** The pattern of texts that a column of MySQL takes; `undefined`: any, or nobody knows. */
export function charactersOf(type: ColumnType | undefined): string | undefined {
  if (type === 'uuid') return `^[${CHARACTERS.ascii}]*$`
  if (typeof type !== 'object') return undefined
  const set = / character set (\w+)/i.exec(type.mysql)?.[1]?.toLowerCase() ?? ''
  const characters = CHARACTERS[set]
  return characters && `^[${characters}]*$`
}

// ---- defaults

/** Now, as the kit's own timestamps are: SQLite's own current_timestamp sorts before all of these that are of the same day. */
export const NOW: PerDialect = {
  mysql: 'current_timestamp(3)',
  sqlite: "(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))",
}

/** A default that is no SQL, as it is written into a table: bytes, a text, or a number. */
export function writtenDefault(
  value: Literal,
  type: ColumnType,
  dialect: DialectName,
): Buffer | string | number {
  const written = parse(type)?.definition.written
  if (written) return written(String(value), dialect)
  return typeof value === 'string' ? value : Number(value)
}

/** A literal default in the form that reading gives it: `false` for 0 of a boolean, `'1.50'` for 1.5 of a decimal(4,2). */
export function canonicalDefault(value: Literal, type: ColumnType): Literal {
  if (typeof type !== 'string') return typeof value === 'boolean' ? Number(value) : value
  const parsed = parse(type)
  return parsed?.definition.read?.(value, parsed.scale) ?? String(value)
}

/** A number; one that JavaScript does not hold stays a text. */
export function numeric(value: Literal): number | string {
  const text = String(typeof value === 'boolean' ? Number(value) : value)
  const number = Number(text)
  const isExact = !Number.isInteger(number) || Number.isSafeInteger(number)
  return !Number.isNaN(number) && isExact ? number : text
}

function padded(text: string, scale: number): string {
  const [whole = '', decimals = ''] = text.split('.')
  return scale === 0 ? whole : `${whole}.${decimals.padEnd(scale, '0')}`
}

function milliseconds(text: string): string {
  const [whole = '', fraction = ''] = text.split('.')
  return /\d:\d\d$/.test(whole) ? `${whole}.${fraction.padEnd(3, '0')}` : text
}

// As the drivers write a `Date`, so that what is compared as text on SQLite is alike.
function instant(text: string, dialect: DialectName): string {
  const date = new Date(`${text.replace(' ', 'T').replace(/Z$/, '')}Z`)
  if (Number.isNaN(date.getTime())) return text
  const iso = date.toISOString()
  return dialect === 'mysql' ? iso.replace('T', ' ').slice(0, -1) : iso
}

// ---- from one type to another

/** Whether a column of the type `to` holds every value of one of the type `from`. */
export function fits(from: PortableType, to: PortableType): boolean {
  const [one, other] = [extent(from), extent(to)]
  if (isText(to)) return one.characters <= other.characters
  if (from === to || (from === 'date' && to === 'datetime')) return true
  // No number is as large as nothing: what is no number fits into none, and none fits into it.
  return one.digits <= other.digits && one.decimals <= other.decimals
}

function extent(type: PortableType) {
  const { definition, size, scale } = parse(type) as Parsed
  const [digits, decimals] = definition.digits?.(size, scale) ?? [Number.NaN, 0]
  return { digits, decimals, characters: definition.characters?.(size) ?? digits + 1 }
}

/** Up to here MySQL stores a text's length in one byte. */
const SHORT = 63

/** Whether MySQL changes the type without writing the table anew. */
export function isInPlace(from: PortableType, to: PortableType): boolean {
  if (!from.startsWith('varchar') || !to.startsWith('varchar')) return false
  return extent(from).characters > SHORT === extent(to).characters > SHORT
}

/**
 * What is so of a row of SQLite whose value MySQL, in its strict mode, would not take for a column of another type, in SQL;
 * `undefined`: it would take any.
 *
 * @param name of the column, in quotes
 */
export function misfitOf(type: PortableType, name: string): string | undefined {
  const parsed = parse(type)
  return parsed?.definition.misfit?.(name, parsed.size, parsed.scale)
}

/**
 * What is so of a row of MySQL, one of these at least, whose value its strict mode would not take for a column of another type, in SQL.
 *
 * @param name of the column, in quotes
 * @param from its type
 */
export function refusedBy(type: ColumnType, name: string, from: ColumnType): readonly string[] {
  const parsed = parse(type)
  if (!parsed || typeof from !== 'string' || from === type) return []
  const isWritten = from === 'uuid' || isText(from)
  return parsed.definition.refused?.(name, isWritten, parsed.size) ?? []
}

/** Whether a value of SQLite is a number. `0 + text` would take what begins like one. */
function isNumber(name: string): string {
  const digits = `ltrim(trim(${name}), '+-')`
  const bare = `replace(${digits}, '.', '')`
  const isNumeric = `(${bare} glob '[0-9]*' and ${bare} not glob '*[^0-9]*' and length(${digits}) - length(${bare}) <= 1)`
  return `(typeof(${name}) in ('integer', 'real') or (typeof(${name}) = 'text' and ${isNumeric}))`
}
