import type { PortableType } from '../../schema/state.ts'

/** How many decimal digits an integer may have. */
const DIGITS: Readonly<Record<string, number>> = {
  boolean: 1,
  tinyint: 3,
  smallint: 5,
  integer: 10,
  bigint: 19,
}

/** What a double keeps of every integer. */
const DOUBLE_DIGITS = 15

/** How many characters a value may have, written out. */
const CHARACTERS: Readonly<Record<string, number>> = {
  uuid: 36,
  date: 10,
  time: 12,
  datetime: 24,
  double: 24,
  text: Number.POSITIVE_INFINITY,
  json: Number.POSITIVE_INFINITY,
}

interface Parsed {
  readonly name: string
  /** Before the decimal point. */
  readonly digits: number
  readonly decimals: number
  readonly characters: number
}

/** Whether a column of the type `to` holds every value of one of the type `from`. */
export function fits(from: PortableType, to: PortableType): boolean {
  const [one, other] = [parse(from), parse(to)]
  if (['char', 'varchar', 'text'].includes(other.name)) return one.characters <= other.characters
  if (from === to || (from === 'date' && to === 'datetime')) return true
  // No number is as large as nothing: what is no number fits into none, and none fits into it.
  return one.digits <= other.digits && one.decimals <= other.decimals
}

function parse(type: PortableType): Parsed {
  const [, name = '', first = '0', scale = '0'] =
    /^(\w+)(?:\((\d+)(?:,(\d+))?\))?$/.exec(type) ?? []
  const [size, decimals] = [Number(first), Number(scale)]
  if (name === 'decimal') {
    return { name, digits: size - decimals, decimals, characters: size + 2 }
  }
  if (name === 'char' || name === 'varchar') {
    return { name, digits: Number.NaN, decimals: 0, characters: size }
  }
  const digits = name === 'double' ? DOUBLE_DIGITS : (DIGITS[name] ?? Number.NaN)
  const fraction = name === 'double' ? Number.POSITIVE_INFINITY : 0
  return { name, digits, decimals: fraction, characters: CHARACTERS[name] ?? digits + 1 }
}

/** Up to here MySQL stores a text's length in one byte. */
const SHORT = 63

/** Whether MySQL changes the type without writing the table anew. */
export function isInPlace(from: PortableType, to: PortableType): boolean {
  if (!from.startsWith('varchar') || !to.startsWith('varchar')) return false
  return parse(from).characters > SHORT === parse(to).characters > SHORT
}
