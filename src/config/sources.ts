import { isUtf8 } from 'node:buffer'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { TObject } from 'typebox'
import { errors, type PlinthError } from '../errors.ts'
import {
  defaultsFor,
  type Environment,
  type EnvironmentDefaults,
  environmentOf,
} from './defaults.ts'
import { derive, type RawValues } from './derive.ts'
import { type Dotenv, parseDotenv } from './dotenv.ts'
import { type VariableSchema, variablesOf } from './secret.ts'

export interface ConfigSources {
  /** The environment; default `process.env`, which is only read. */
  env?: NodeJS.ProcessEnv
  /** Path of the .env file, `false` for none; default `.env` in the working directory. It need not exist. */
  dotenv?: string | false
  /** By environment; they win over the defaults of the schemas, and over what follows from the mode. */
  defaults?: EnvironmentDefaults
}

/** What each source says about the variables of one schema, and only about those. */
export interface Layers {
  environment: RawValues
  dotenv: RawValues
  /** The line of .env on which a variable stands, by its name. */
  lines: Readonly<Record<string, number>>
  derived: RawValues
  /** The defaults of the environment in which the process runs. */
  presets: RawValues
  /** What they are called, `defaults.prod`. */
  presetsOf: `defaults.${Environment}` | undefined
  /** Variables that must be set because another one is. */
  missing: readonly string[]
}

/**
 * Reads the sources without judging their values.
 *
 * @throws {PlinthError} CONFIG_INVALID when there is a .env that cannot be read, or only by a guess
 */
export function readLayers(
  schema: TObject,
  { env = process.env, dotenv = '.env', defaults = {} }: ConfigSources,
): Layers {
  const environment = pick(schema, env)
  const isDeclared = (name: string) => Object.hasOwn(schema.properties, name)
  const found = [...(dotenv === false ? [] : readDotenv(resolve(dotenv), isDeclared))]
  const all = Object.fromEntries(found.map(([name, { value }]) => [name, value]))
  const file = pick(schema, all)
  const where = environmentOf({ ...all, ...env })
  const given = pick(schema, defaultsFor(defaults, where))
  const derivable = new Set(
    variablesOf(schema).flatMap(([name, { derived }]) => (derived ? [name] : [])),
  )
  const prefixes = [...derivable].flatMap(
    (name) => /^(|.*_)(?:DATABASE|REDIS)_URL$/.exec(name)?.[1] ?? [],
  )
  // A URL of them does not complete the parts of another.
  const others = Object.entries(given).filter(([name]) => !/(^|_)DATABASE_URL$/.test(name))
  const { fallbacks, parts, missing } = derive(
    { ...Object.fromEntries(others), ...file, ...environment },
    [...new Set(prefixes)],
  )
  const derivedOf = (values: RawValues) =>
    Object.entries(values).filter(([name, value]) => derivable.has(name) && value !== undefined)
  const told = Object.fromEntries(derivedOf(parts))
  const presets = Object.entries(given).filter(([name]) => !Object.hasOwn(told, name))
  return {
    environment,
    dotenv: file,
    lines: Object.fromEntries(found.map(([name, { line }]) => [name, line])),
    derived: { ...Object.fromEntries(derivedOf(fallbacks)), ...told },
    presets: Object.fromEntries(presets),
    presetsOf: where && `defaults.${where}`,
    missing,
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

function readDotenv(path: string, isDeclared: (name: string) => boolean): Dotenv['variables'] {
  const bytes = readBytes(path)
  const encoding = foreignEncoding(bytes)
  if (encoding) throw unreadable(path, encoding, 'a text file in UTF-8')
  // Some editors put a byte order mark in front, which would become part of the first name.
  const text = bytes.toString('utf8').replace(/^\uFEFF/, '')
  const { variables, problems } = parseDotenv(text, isDeclared)
  if (problems.length === 0) return variables
  const lines = problems.map(({ line, message }) => `  ${path}, line ${line}: ${message}`)
  throw errors.CONFIG_INVALID(lines.join('\n'))
}

function readBytes(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return Buffer.alloc(0)
    throw unreadable(
      path,
      code === 'EISDIR' ? 'it is a folder' : (code ?? message),
      'a text file, or none',
      error,
    )
  }
}

/** What the file is in, where it is not UTF-8. */
function foreignEncoding(bytes: Buffer): string | undefined {
  const mark = bytes.toString('latin1', 0, 2)
  if (mark === '\xFF\xFE' || mark === '\xFE\xFF' || bytes.includes(0))
    return 'it is UTF-16, or no text'
  if (isUtf8(bytes)) return undefined
  const line = bytes
    .toString('latin1')
    .split('\n')
    .findIndex((row) => !isUtf8(Buffer.from(row, 'latin1')))
  return `line ${line + 1} is not UTF-8`
}

function unreadable(path: string, problem: string, expected: string, cause?: unknown): PlinthError {
  const text = `  ${path}: cannot be read (${problem}), expected ${expected}`
  return errors.CONFIG_INVALID.with({ cause }, text)
}
