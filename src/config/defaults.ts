import type { TObject } from 'typebox'
import { errors } from '../errors.ts'
import type { RawValues } from './derive.ts'
import { describeExpected } from './expected.ts'
import { asObject } from './join.ts'
import { redactValue, type VariableSchema, variablesOf } from './secret.ts'

/** Where a process runs. */
export const ENVIRONMENTS = ['dev', 'stag', 'prod'] as const
export type Environment = (typeof ENVIRONMENTS)[number]

type Scalar = string | number | boolean

/** Values of variables as code gives them. */
export type DefaultValues = Readonly<Record<string, Scalar | readonly Scalar[] | undefined>>

/** What variables are where nothing sets them, by environment. */
export type EnvironmentDefaults<Values = DefaultValues> = {
  readonly [Name in Environment]?: Values
}

// They say which defaults count.
const DECIDE = ['NODE_ENV', 'BKPAAS_ENVIRONMENT']

/** The environment whose defaults count; `undefined` in tests: there are none, as they must not touch what a developer has. */
export function environmentOf({
  NODE_ENV,
  BKPAAS_ENVIRONMENT: told,
}: RawValues): Environment | undefined {
  if (NODE_ENV === 'test') return undefined
  return ENVIRONMENTS.find((name) => name === told) ?? (NODE_ENV === 'production' ? 'prod' : 'dev')
}

/** What `of` says of each environment. */
export function mapEnvironments<T>(of: (environment: Environment) => T): Record<Environment, T> {
  return { dev: of('dev'), stag: of('stag'), prod: of('prod') }
}

/** The values of `environment` as text. */
export function defaultsFor(
  defaults: EnvironmentDefaults,
  environment: Environment | undefined,
): RawValues {
  const values = environment === undefined ? {} : (defaults[environment] ?? {})
  const set = Object.entries(values).filter(([, value]) => value !== undefined)
  return Object.fromEntries(set.map(([name, value]) => [name, String(value)]))
}

/** Finds the names of those of `values` that do not fit `schema`. */
type FindBad = (schema: TObject, values: RawValues) => ReadonlySet<string>

/**
 * Checks the defaults of all environments, not only of that in which the process runs.
 *
 * @throws {PlinthError} CONFIG_INVALID with each that is no variable, or does not fit
 */
export function assertDefaults(
  defaults: EnvironmentDefaults,
  schema: TObject,
  findBad: FindBad,
): void {
  const names = Object.keys(defaults)
  const strange = names.filter((name) => !(ENVIRONMENTS as readonly string[]).includes(name))
  const problems = [
    ...strange.map((name) => `defaults.${name}: expected one of ${ENVIRONMENTS.join(', ')}`),
    ...ENVIRONMENTS.flatMap((name) => {
      const found = problemsOf(schema, defaultsFor(defaults, name), findBad)
      return found.map(([variable, problem]) => `defaults.${name}.${variable}: ${problem}`)
    }),
  ]
  if (problems.length === 0) return
  throw errors.CONFIG_INVALID(problems.map((problem) => `  ${problem}`).join('\n'))
}

function problemsOf(
  schema: TObject,
  values: RawValues,
  findBad: FindBad,
): [name: string, problem: string][] {
  const known = new Map(variablesOf(schema))
  const given = [...known].filter(([name]) => Object.hasOwn(values, name))
  const bad =
    given.length > 0 ? findBad(asObject(Object.fromEntries(given), new Set()), values) : undefined
  return Object.entries(values).flatMap(([name, value]) => {
    const variable = known.get(name)
    if (!variable) return [[name, 'no variable is called so']]
    if (DECIDE.includes(name)) return [[name, 'it has none: it says which of them count']]
    if (!bad?.has(name)) return []
    return [[name, `got ${describe(variable, value)}, expected ${describeExpected(variable)}`]]
  })
}

function describe(variable: VariableSchema, value: string | undefined): string {
  return variable.secret ? 'a value that is not shown' : JSON.stringify(value)
}

/** What defaults say of a variable, in words that follow those of its own: `; warn in prod`. */
export function describeDefaults(
  name: string,
  variable: VariableSchema,
  defaults: EnvironmentDefaults,
): string {
  return ENVIRONMENTS.flatMap((environment) => {
    const value = defaults[environment]?.[name]
    return value === undefined ? [] : [`; ${redactValue(variable, value)} in ${environment}`]
  }).join('')
}
