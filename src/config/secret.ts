import { inspect } from 'node:util'
import Type, { type TObject, type TSchema } from 'typebox'

/** What this kit writes into the schema of a variable, beside what JSON Schema knows. */
export interface VariableSchema extends TSchema {
  type?: string
  description?: string
  default?: unknown
  /** `true`: never shown. `'password'`: a URL, shown without its password and query. */
  secret?: boolean | 'password'
  /** What a value must be, in words; told from the schema where this is absent. */
  expected?: string
  /** Where the value comes from when nobody sets it, in words; only for variables of `derive()`. */
  derived?: string
  /** It is a time in milliseconds, and may be written with its unit: `30s`. */
  time?: boolean
}

const HIDDEN = '***'
// A URL of any other shape is not shown at all: its password may sit anywhere.
const HOST = String.raw`(?:\[[\da-f:.]+\]|[^:@/?#[\]]*)(?::\d+)?`
const URL_SHAPE = new RegExp(
  String.raw`^([a-z][a-z\d+.-]*://)(?:([^:@/?#]*)(:[^@/?#]*)?@)?(${HOST}(?:/[^@?#]*)?)(\?[^@#]*)?$`,
  'i',
)
const FILE_SHAPE = /^[a-z][a-z\d+.-]*:(?!\/\/)[^@?#]*$/i

/** Marks a variable as secret: its value is never printed. Returns a copy of `schema`. */
export function secret<T extends TSchema>(schema: T): T {
  return Type.With(schema, { secret: true }) as T
}

/** The schemas of the variables of `schema`, by name, in its order. */
export function variablesOf(schema: TObject): [name: string, variable: VariableSchema][] {
  return Object.entries(schema.properties as Record<string, VariableSchema>)
}

/** `value` as it may be shown: `***`, or a URL without password and query, when the variable is secret. */
export function redactValue(variable: VariableSchema, value: unknown): unknown {
  if (variable.secret === undefined || variable.secret === false) return value
  if (value === undefined || value === null) return value
  if (variable.secret !== 'password') return HIDDEN
  return Array.isArray(value)
    ? value.map((one) => redactUrl(String(one)))
    : redactUrl(String(value))
}

function redactUrl(url: string): string {
  if (FILE_SHAPE.test(url)) return url
  const parts = URL_SHAPE.exec(url)
  if (parts === null) return HIDDEN
  const [, scheme, user, password, place, query] = parts
  const login = user === undefined ? '' : `${user}${password ? `:${HIDDEN}` : ''}@`
  return `${scheme}${login}${place}${query ? `?${HIDDEN}` : ''}`
}

/** A plain copy of `values` (read with `schema`) that may be printed. */
export function redact(values: object, schema: TObject): Record<string, unknown> {
  const variables = schema.properties as Record<string, VariableSchema>
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      redactValue(variables[name] ?? { secret: true }, value),
    ]),
  )
}

/**
 * Freezes `values` and makes them print redacted: `console.log`, `util.inspect`, `JSON.stringify` and the
 * logger see no secret. The properties keep their real values.
 */
export function protect<T extends object>(values: T, schema: TObject): Readonly<T> {
  const value = () => redact(values, schema)
  Object.defineProperties(values, { toJSON: { value }, [inspect.custom]: { value } })
  return Object.freeze(values)
}
