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

// A comma has room behind it.
const WIDTH = 99
const STEP = 2

/**
 * Writes data and calls: in one line where they fit, else each part on its own. An object that holds objects never is in one line. What else
 * is beautiful the formatter of the project says, where it has one.
 *
 * @param indent of the line that it begins in, in spaces
 * @param column how many characters are before it in that line
 */
export function print(value: unknown, language: Language, indent = 0, column = indent): string {
  const line = inLine(value, language)
  if (line !== undefined && column + line.length <= WIDTH) return line
  if (value instanceof Call) return brokenCall(value, language, indent)
  if (!isObject(value) && !Array.isArray(value)) return literal(value, language)
  const parts = Array.isArray(value)
    ? value.map((one) => ['', one] as const)
    : Object.entries(value).map(([key, one]) => [`${printKey(key, language)}: `, one] as const)
  const inner = indent + STEP
  const lines = parts.map(
    ([key, one]) => `${' '.repeat(inner)}${key}${print(one, language, inner, inner + key.length)}`,
  )
  const [open, close] = Array.isArray(value) ? '[]' : '{}'
  const comma = language === 'json' ? '' : ','
  return `${open}\n${lines.join(',\n')}${comma}\n${' '.repeat(indent)}${close}`
}

/** `undefined` where it cannot be in one line. */
function inLine(value: unknown, language: Language): string | undefined {
  if (value instanceof Name) return value.text
  if (value instanceof Call) {
    const args = value.args.map((one) => inLine(one, language))
    return join(args, (all) => `${value.name}(${all})`)
  }
  if (Array.isArray(value)) {
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

/** The last argument begins in the first line; those before it are short. */
function brokenCall({ name, args }: Call, language: Language, indent: number): string {
  if (args.length === 0) return `${name}()`
  const others = args
    .slice(0, -1)
    .map((one) => `${inLine(one, language) ?? print(one, language, indent)}, `)
  return `${name}(${others.join('')}${print(args.at(-1), language, indent, WIDTH)})`
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
