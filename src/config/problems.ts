import type { ErrorObject } from 'ajv'
import type { TObject } from 'typebox'
import { errors, type PlinthError } from '../errors.ts'
import { describeExpected } from './expected.ts'
import { itemsOf } from './lists.ts'
import { type VariableSchema, variablesOf } from './secret.ts'
import type { Layers } from './sources.ts'

const SHOWN_LENGTH = 80

/** The name of the variable that a failure of the validator is about. */
export function nameOf({ keyword, params, instancePath }: ErrorObject): string {
  return keyword === 'required' && instancePath === ''
    ? params.missingProperty
    : (instancePath.split('/')[1] ?? '')
}

/**
 * The variables that Ajv takes for valid numbers and are not: it coerces `Infinity` and `1e400`, and then
 * checks no bound of a number that is not finite.
 */
export function infinite(schema: TObject, values: Readonly<Record<string, unknown>>): string[] {
  const isInfinite = (value: unknown) => Math.abs(Number(value)) === Number.POSITIVE_INFINITY
  return variablesOf(schema)
    .filter(([, variable]) => (itemsOf(variable) ?? variable).type !== 'string')
    .map(([name]) => name)
    .filter((name) => [values[name]].flat().some(isInfinite))
}

/** The error that lists the variables `bad`, in the order of the schema: what was got, what was expected. */
export function invalid(schema: TObject, layers: Layers, bad: ReadonlySet<string>): PlinthError {
  const problems = variablesOf(schema)
    .filter(([name]) => bad.has(name))
    .map(([name, variable]) => ({ name, message: describeProblem(name, variable, layers) }))
  return errors.CONFIG_INVALID.with(
    { errors: problems.map(({ name, message }) => ({ path: `/${name}`, message })) },
    problems.map(({ name, message }) => `  ${name}: ${message}`).join('\n'),
  )
}

function describeProblem(name: string, variable: VariableSchema, layers: Layers): string {
  const got = describeGot(name, variable, layers)
  const prefix = name.replace(/MYSQL_\w+$/, '')
  const reason = layers.missing.includes(name)
    ? `, because ${prefix}MYSQL_HOST is set and ${prefix}DATABASE_URL is not`
    : ''
  return `${got}, expected ${describeExpected(variable)}${reason}`
}

function describeGot(name: string, variable: VariableSchema, layers: Layers): string {
  const { environment, dotenv, derived, lines } = layers
  const value = environment[name] ?? dotenv[name]
  if (value === undefined && !variable.secret && derived[name] !== undefined)
    return `got ${quote(derived[name])} (${variable.derived})`
  if (value === undefined) return 'not set'
  const isFromFile = environment[name] === undefined
  // Of several lines, where a quote is closed too late: then they are meant for other variables.
  const isHidden = variable.secret || (isFromFile && value.includes('\n'))
  const origin = isFromFile ? `line ${lines[name]} of .env` : 'the environment'
  return `got ${isHidden ? 'a value that is not shown' : quote(value)} from ${origin}`
}

function quote(value: string): string {
  const text = String(value)
  return JSON.stringify(text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}…` : text)
}
