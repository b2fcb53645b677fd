/** A call of a function, among data. */
export class Call {
  readonly name: string
  readonly args: readonly unknown[]

  constructor(name: string, args: readonly unknown[]) {
    this.name = name
    this.args = args
  }
}

/** A name in code, among data. */
export class Name {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

export type Language = 'typescript' | 'json'

const WIDTH = 100
const STEP = 2

/** Where a value is written. */
interface Place {
  /** Of the line that it begins in, in spaces. */
  readonly indent: number
  /** How many characters are before it in that line. */
  readonly column: number
  /** How many must have room behind it. */
  readonly after: number
}

/**
 * Writes data and calls as Biome formats them: in one line where they fit, else each part on its own. An
 * object that holds objects never is in one line.
 */
export function print(
  value: unknown,
  language: Language,
  place: Place = { indent: 0, column: 0, after: 0 },
): string {
  const line = inLine(value, language)
  if (line !== undefined && place.column + line.length + place.after <= WIDTH) return line
  if (value instanceof Call) return brokenCall(value, language, place)
  if (Array.isArray(value)) return block('[', ']', value.map(toPart), language, place.indent)
  if (!isObject(value)) return literal(value, language)
  const parts = Object.entries(value).map(([key, one]) => ({ key: printKey(key, language), one }))
  return block('{', '}', parts, language, place.indent)
}

/** `undefined` where it cannot be in one line. */
function inLine(value: unknown, language: Language): string | undefined {
  if (value instanceof Name) return value.text
  if (value instanceof Call) {
    const args = value.args.map((one) => inLine(one, language))
    return join(args, (all) => `${value.name}(${all})`)
  }
  if (Array.isArray(value)) {
    if (isListOfObjects(value, language)) return undefined
    return join(
      value.map((one) => inLine(one, language)),
      (all) => `[${all}]`,
    )
  }
  if (!isObject(value)) return literal(value, language)
  const entries = Object.entries(value)
  if (entries.length === 0) return '{}'
  if (entries.some(([, one]) => isObject(one))) return undefined
  const parts = entries.map(([key, one]) => {
    const line = inLine(one, language)
    return line && `${printKey(key, language)}: ${line}`
  })
  return join(parts, (all) => `{ ${all} }`)
}

function join(
  parts: readonly (string | undefined)[],
  around: (all: string) => string,
): string | undefined {
  return parts.includes(undefined) ? undefined : around(parts.join(', '))
}

/** Of TypeScript Biome never writes two objects of several keys behind one another. */
function isListOfObjects(values: readonly unknown[], language: Language): boolean {
  const isLarge = (one: unknown) => isObject(one) && Object.keys(one).length > 1
  return language === 'typescript' && values.length > 1 && values.every(isLarge)
}

interface Part {
  readonly key?: string
  readonly one: unknown
}

function toPart(one: unknown): Part {
  return { one }
}

function block(
  open: string,
  close: string,
  parts: readonly Part[],
  language: Language,
  indent: number,
): string {
  const inner = indent + STEP
  const lines = parts.map((part) => ' '.repeat(inner) + printPart(part, language, inner))
  const comma = language === 'json' ? '' : ','
  return `${open}\n${lines.join(',\n')}${comma}\n${' '.repeat(indent)}${close}`
}

function printPart({ key, one }: Part, language: Language, indent: number): string {
  if (key === undefined) return print(one, language, { indent, column: indent, after: 1 })
  const column = indent + key.length + 2
  const text = print(one, language, { indent, column, after: 1 })
  const isLong = typeof one === 'string' && column + text.length + 1 > WIDTH
  // A text that is too long stands in a line of its own.
  if (isLong && language === 'typescript') return `${key}:\n${' '.repeat(indent + STEP)}${text}`
  return `${key}: ${text}`
}

/** The last argument stays in the first line with its bracket, where the ones before it leave room. */
function brokenCall({ name, args }: Call, language: Language, place: Place): string {
  const lines = args.slice(0, -1).map((one) => inLine(one, language))
  const others = lines.map((line) => `${line}, `)
  const head = `${name}(${others.join('')}`
  const last = args.at(-1)
  const canHug = !lines.includes(undefined) && (Array.isArray(last) || isObject(last))
  if (canHug && place.column + head.length + 1 <= WIDTH) {
    return `${head}${print(last, language, { ...place, column: WIDTH })})`
  }
  return `${name}${block('(', ')', args.map(toPart), language, place.indent)}`
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function printKey(key: string, language: Language): string {
  const isName = language === 'typescript' && /^[A-Za-z_$][\w$]*$/.test(key)
  return isName ? key : literal(key, language)
}

/** A text is in single quotes, unless double ones need fewer backslashes. */
function literal(value: unknown, language: Language): string {
  const json = JSON.stringify(value)
  if (language === 'json' || typeof value !== 'string') return json
  const count = (quote: string) => value.split(quote).length - 1
  if (count("'") > count('"')) return json
  const inner = json.slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")
  return `'${inner}'`
}
