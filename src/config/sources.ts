import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseEnv } from 'node:util'
import type { TObject } from 'typebox'
import { errors } from '../errors.ts'
import { derive, type RawValues } from './derive.ts'
import { type VariableSchema, variablesOf } from './secret.ts'

export interface ConfigSources {
  /** The environment; default `process.env`, which is only read. */
  env?: NodeJS.ProcessEnv
  /** Path of the .env file, `false` for none; default `.env` in the working directory. It need not exist. */
  dotenv?: string | false
}

/** What each source says about the variables of one schema, and only about those. */
export interface Layers {
  environment: RawValues
  dotenv: RawValues
  derived: RawValues
  /** Variables that must be set because another one is. */
  missing: readonly string[]
}

/**
 * Reads the sources without judging their values.
 *
 * @throws {PlinthError} CONFIG_INVALID when there is a .env that cannot be read
 */
export function readLayers(
  schema: TObject,
  { env = process.env, dotenv = '.env' }: ConfigSources,
): Layers {
  const environment = pick(schema, env)
  const file = pick(schema, dotenv === false ? {} : readDotenv(resolve(dotenv)))
  const { values, missing } = derive({ ...file, ...environment })
  const derivable = new Set(
    variablesOf(schema).flatMap(([name, { derived }]) => (derived ? [name] : [])),
  )
  const derived = Object.entries(values).filter(
    ([name, value]) => derivable.has(name) && value !== undefined,
  )
  return {
    environment,
    dotenv: file,
    derived: Object.fromEntries(derived),
    missing: derivable.has('DATABASE_URL') ? missing : [],
  }
}

function pick(schema: TObject, source: RawValues): RawValues {
  const set = variablesOf(schema).filter(
    ([name, variable]) => Object.hasOwn(source, name) && isSet(variable, source[name]),
  )
  return Object.fromEntries(set.map(([name]) => [name, source[name]]))
}

// Compose files and shells write `NAME=` for "not set". Only where any text is welcome is it a value.
function isSet(variable: VariableSchema, value: string | undefined): boolean {
  if (value === undefined) return false
  return isPlainText(variable) || String(value).trim() !== ''
}

function isPlainText(variable: VariableSchema): boolean {
  const limits = ['format', 'pattern', 'minLength', 'enum', 'const']
  return variable.type === 'string' && !limits.some((keyword) => keyword in variable)
}

function readDotenv(path: string): RawValues {
  try {
    // Some editors put a byte order mark in front, which would become part of the first name.
    return parseEnv(readFileSync(path, 'utf8').replace(/^\uFEFF/, ''))
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return {}
    const problem = code === 'EISDIR' ? 'it is a folder' : (code ?? message)
    throw errors.CONFIG_INVALID.with(
      { cause: error },
      `  ${path}: cannot be read (${problem}), expected a text file, or none`,
    )
  }
}
