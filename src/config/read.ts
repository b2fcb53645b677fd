import type { TObject } from 'typebox'
import { readTime } from '../duration.ts'
import { validator } from './ajv.ts'
import { assertDefaults, type Environment } from './defaults.ts'
import type { RawValues } from './derive.ts'
import { describeExpected } from './expected.ts'
import { asObject, type ConfigOwner, joinOwners } from './join.ts'
import { splitLists } from './lists.ts'
import { plainly } from './plainly.ts'
import { infinite, invalid, nameOf } from './problems.ts'
import { protect, redactValue, type VariableSchema, variablesOf } from './secret.ts'
import { type ConfigSources, type Layers, readLayers } from './sources.ts'

export type { ConfigOwner } from './join.ts'
export type { ConfigSources } from './sources.ts'

/** One variable as it may be shown. */
export interface ConfigVariable {
  name: string
  owner: string
  /** Redacted when secret; `null` when unset. */
  value: unknown
  /** Where the value comes from. */
  origin: 'environment' | '.env' | `defaults.${Environment}` | 'default' | 'derived' | 'unset'
  secret: boolean
  description: string
  /** What it must be, in words. */
  expected: string
  /** The default, redacted when secret; `null` when there is none. */
  default: unknown
}

/** A configuration that was read and is valid. */
export interface Config<T> {
  /** The real values, frozen; printed or serialized as a whole they are redacted. */
  values: Readonly<T>
  /** Every variable, in the order of the owners. Holds no secret. */
  variables: readonly ConfigVariable[]
  /** The schemas of all owners joined. */
  schema: TObject
}

/**
 * Reads and validates the variables of all owners. The environment wins over .env, .env over what is derived
 * from other variables, that over the defaults of the environment, and they over the default. Changes neither its arguments nor `process.env`.
 *
 * @throws {PlinthError} CONFIG_INVALID with every bad variable, one line each, and with `errors`
 */
export function readConfig<T>(
  owners: readonly ConfigOwner[],
  sources: ConfigSources = {},
): Config<T> {
  const { schema, owners: ownerOf } = joinOwners(owners)
  assertDefaults(sources.defaults ?? {}, schema, findBad)
  const layers = readLayers(schema, sources)
  const values = validate<T & Record<string, unknown>>(schema, layers)
  const variables = variablesOf(schema).map(([name, variable]) => ({
    name,
    owner: ownerOf.get(name) ?? '',
    value: redactValue(variable, values[name]) ?? null,
    origin: originOf(name, variable, layers),
    secret: Boolean(variable.secret),
    description: variable.description ?? '',
    expected: describeExpected(variable),
    default: redactValue(variable, variable.default) ?? null,
  }))
  return { values: protect(values, schema), variables, schema }
}

function validate<T>(schema: TObject, layers: Layers): T {
  const { derived, presets, dotenv, environment } = layers
  const read = check<T>(schema, [derived, presets, dotenv, environment])
  const bad = new Set([...layers.missing, ...read.bad])
  if (bad.size === 0 && read.values) return read.values
  throw invalid(schema, layers, bad)
}

/** The names of those of `values` that do not fit. */
function findBad(schema: TObject, values: RawValues): ReadonlySet<string> {
  return check(schema, [values]).bad
}

/** @param sources the last wins */
function check<T>(
  schema: TObject,
  sources: readonly RawValues[],
): { values?: T; bad: ReadonlySet<string> } {
  const values = splitLists(schema, readTimes(schema, Object.assign({}, ...sources)))
  const bad = new Set(infinite(schema, values))
  const judged = values.NODE_ENV === 'production' ? takePlain(schema, values) : schema
  if (judged) {
    // Ajv takes away what its schema does not know.
    const known = Object.entries(values).filter(([name]) => Object.hasOwn(judged.properties, name))
    const doubtful = Object.fromEntries(known)
    const ajv = validator()
    if (!ajv.validate(judged, doubtful))
      return { bad: new Set([...bad, ...(ajv.errors ?? []).map(nameOf)]) }
    Object.assign(values, doubtful)
  }
  for (const [name, { default: value }] of variablesOf(schema))
    if (value !== undefined && !Object.hasOwn(values, name)) values[name] = structuredClone(value)
  for (const value of Object.values(values)) if (Array.isArray(value)) Object.freeze(value)
  return { values: values as T, bad }
}

/** A copy of `values` in which times that have a unit are milliseconds. */
function readTimes(schema: TObject, values: RawValues): RawValues {
  const read = { ...values }
  for (const [name, { time }] of variablesOf(schema)) {
    const milliseconds = time && readTime(values[name], { most: Number.MAX_SAFE_INTEGER })
    if (typeof milliseconds === 'number') read[name] = String(milliseconds)
  }
  return read
}

/**
 * `schema` without the variables that need no validator: those that nothing sets, as their defaults are code, which development and tests
 * have judged, and those whose values are what they have to be at a look, which are put into `values` as that.
 *
 * @returns undefined where none is left: most processes in production do not even load the validator
 */
function takePlain(schema: TObject, values: Record<string, unknown>): TObject | undefined {
  const required = new Set(schema.required)
  const isDoubtful = ([name, variable]: [string, VariableSchema]) => {
    if (!Object.hasOwn(values, name)) return required.has(name) && variable.default === undefined
    const value = plainly(variable, values[name])
    if (value !== undefined) values[name] = value
    return value === undefined
  }
  const doubtful = variablesOf(schema).filter(isDoubtful)
  if (doubtful.length === 0) return undefined
  const names = doubtful.map(([name]) => name).filter((name) => required.has(name))
  return asObject(Object.fromEntries(doubtful), new Set(names))
}

function originOf(
  name: string,
  variable: VariableSchema,
  layers: Layers,
): ConfigVariable['origin'] {
  if (Object.hasOwn(layers.environment, name)) return 'environment'
  if (Object.hasOwn(layers.dotenv, name)) return '.env'
  if (layers.presetsOf && Object.hasOwn(layers.presets, name)) return layers.presetsOf
  if (Object.hasOwn(layers.derived, name)) return 'derived'
  return variable.default === undefined ? 'unset' : 'default'
}
