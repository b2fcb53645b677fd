import type { ValidateFunction } from 'ajv/dist/2019.js'
import type { JsonSchema } from '../schema/json-schema.ts'
import { unfold } from '../schema/references.ts'
import { compileExact } from '../schema/validate.ts'

/** Makes what a text says of it; a text that says nothing stays as it is, and validation tells that it does not fit. */
type Read = (given: unknown) => unknown

/**
 * Compiles the validator of a path or query, which are text: first each part is read as its schema wants it. A number or
 * boolean is written as in JSON, so that nothing is one in the query that would be none in a body (`0x10`, `+1`, ` 1`); an empty
 * text is null where null is wanted; a lone value is a list where one is wanted. An integer of `format: 'int64'` is a bigint where it would
 * be no exact number.
 */
export function compileText(schema: JsonSchema): ValidateFunction {
  const validate = compileExact(schema)
  const parts = Object.entries(schema.properties ?? {}).flatMap(([name, part]) => {
    const read = createRead(part, schema)
    return read ? [{ name, read }] : []
  })
  const longs = Object.entries(schema.properties ?? {}).flatMap(([name, part]) =>
    unfold(part, schema).format === 'int64' ? [name] : [],
  )
  const readAndValidate = (given: Record<string, unknown> | null): boolean => {
    for (const { name, read } of parts) {
      const value = given?.[name]
      if (given && value !== undefined) given[name] = read(value)
    }
    const long = given && longs.length > 0 ? takeLongs(given, longs) : undefined
    const fits = validate(given)
    if (long) Object.assign(given as object, long)
    readAndValidate.errors = validate.errors
    return fits
  }
  readAndValidate.errors = undefined as ValidateFunction['errors']
  return readAndValidate as ValidateFunction
}

/**
 * Takes out the integers that are no exact numbers, and leaves the numbers nearest to them that are, for a validator that knows no
 * bigints.
 */
function takeLongs(given: Record<string, unknown>, names: readonly string[]) {
  let taken: Record<string, bigint> | undefined
  for (const name of names) {
    const value = given[name]
    if (typeof value !== 'bigint') continue
    taken = { ...taken, [name]: value }
    given[name] = value < 0n ? -Number.MAX_SAFE_INTEGER : Number.MAX_SAFE_INTEGER
  }
  return taken
}

/** `undefined` where a text is wanted, or anything. */
function createRead(schema: JsonSchema, root: JsonSchema): Read | undefined {
  const part = unfold(schema, root)
  const { const: only, enum: values, type, anyOf, oneOf = anyOf, allOf } = part
  if ('const' in part) return (given) => (given === String(only) ? only : given)
  if (Array.isArray(values)) return (given) => values.find((one) => String(one) === given) ?? given
  if (Array.isArray(oneOf)) return firstThatFits(oneOf, root)
  if (Array.isArray(allOf)) return inTurn(allOf, root)
  if (Array.isArray(type)) {
    const kinds = type.map((kind) => ({ ...part, type: kind as unknown }))
    return firstThatFits(kinds, root)
  }
  switch (type) {
    case 'integer':
      if (part.format === 'int64') return readLong
      return (given) => (isNumber(given) ? Number(given) : given)
    case 'number':
      return (given) => (isNumber(given) ? Number(given) : given)
    case 'boolean':
      return (given) => (given === 'true' || given === 'false' ? given === 'true' : given)
    case 'null':
      return (given) => (given === '' ? null : given)
    case 'array': {
      const read = createRead((part.items ?? {}) as JsonSchema, root)
      return (given) => {
        const list = Array.isArray(given) ? given : [given]
        return read ? list.map(read) : list
      }
    }
    default:
      return undefined
  }
}

// RFC 8259, 6.
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

function isNumber(given: unknown): boolean {
  return typeof given === 'string' && NUMBER.test(given)
}

/** What is beyond 64 bits stays a number, which no schema takes. */
function readLong(given: unknown): unknown {
  if (!isNumber(given)) return given
  const number = Number(given)
  if (Number.isSafeInteger(number) || !/^-?\d+$/.test(given as string)) return number
  const long = BigInt(given as string)
  return BigInt.asIntN(64, long) === long ? long : number
}

/** Reads as the first member of a union says that takes what comes out. */
function firstThatFits(members: readonly JsonSchema[], root: JsonSchema): Read {
  const reads = members.map((member) => {
    const { $defs } = root
    return {
      read: createRead(member, root),
      fits: compileExact($defs === undefined ? member : { ...member, $defs }),
    }
  })
  return (given) => {
    for (const { read, fits } of reads) {
      const value = read ? read(given) : given
      if (fits(value)) return value
    }
    return given
  }
}

/** Reads as the first member of an intersection says that does not only look at the text. */
function inTurn(members: readonly JsonSchema[], root: JsonSchema): Read | undefined {
  const reads = members.flatMap((member) => createRead(member, root) ?? [])
  return reads.length === 0
    ? undefined
    : (given) => reads.reduce((value, read) => (value === given ? read(value) : value), given)
}
