/**
 * What `value` is once it has been JSON: dates are texts, bigints numbers, `undefined` is null and properties that are it are
 * left out, of objects of a class there is what is their own. What is JSON already is not copied.
 *
 * @param copies whether all of it is a copy nevertheless, to be written into
 * @param number of a bigint
 */
export function toJson(
  value: unknown,
  copies = false,
  number: (value: bigint) => unknown = Number,
): unknown {
  if (isNothing(value)) return null
  if (typeof value === 'bigint') return number(value)
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) {
    const list = value.map((item) => toJson(item, copies, number))
    return copies || list.some((item, i) => item !== value[i]) ? list : value
  }
  if ('toJSON' in value && typeof value.toJSON === 'function')
    return toJson(value.toJSON(), copies, number)
  if (!copies && isPlain(value)) return value
  return toJsonObject(value as Record<string, unknown>, copies, number)
}

function toJsonObject(
  object: Record<string, unknown>,
  copies: boolean,
  number: (value: bigint) => unknown,
): object {
  const entries: [string, unknown][] = []
  let same = !copies && hasNoClass(object)
  for (const [name, value] of Object.entries(object)) {
    const json = toJson(value, copies, number)
    same &&= json === value
    if (!isNothing(value)) entries.push([name, json])
  }
  return same ? object : Object.fromEntries(entries)
}

/** What JSON has no word for. */
function isNothing(value: unknown): boolean {
  return value === undefined || typeof value === 'function' || typeof value === 'symbol'
}

/** Whether it is an object of no class whose properties are strings, numbers, booleans or null, as rows are. */
function isPlain(object: object): boolean {
  return (
    hasNoClass(object) && Object.values(object).every((v) => v === null || SCALARS.has(typeof v))
  )
}

function hasNoClass(object: object): boolean {
  const prototype = Object.getPrototypeOf(object)
  return prototype === null || prototype === Object.prototype
}

const SCALARS: ReadonlySet<string> = new Set(['string', 'number', 'boolean'])

/** A number, and where that would not be the same one still the bigint: for {@link toJson}. */
export function exactly(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/** What a JSON text says; integers that are no exact numbers are bigints, as in what {@link exactly} gives. */
export function fromJson(text: string): unknown {
  return LONG.test(text) ? JSON.parse(text, keepDigits) : JSON.parse(text)
}

const LONG = /\d{16}/

function keepDigits(_: string, value: unknown, context?: { source?: string }): unknown {
  const { source = '' } = context ?? {}
  const isLost = typeof value === 'number' && !Number.isSafeInteger(value)
  return isLost && /^-?\d+$/.test(source) ? BigInt(source) : value
}
