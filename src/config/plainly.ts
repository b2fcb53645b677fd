import { isIP } from 'node:net'
import type { VariableSchema } from './secret.ts'

const HOST_NAME = /^[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_.])?$/i
const PROXY_NAMES = new Set(['loopback', 'linklocal', 'uniquelocal'])

function isHost(value: string): boolean {
  return isIP(value) !== 0 || HOST_NAME.test(value)
}

// The same as Fastify's `trustProxy` takes, so that it cannot fail on it later.
function isProxyList(value: string): boolean {
  return value.split(',').every((item) => isProxy(item.trim()))
}

function isProxy(item: string): boolean {
  if (PROXY_NAMES.has(item)) return true
  const [address = '', bits, ...rest] = item.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  return (
    bits === undefined || (/^[1-9]\d*$/.test(bits) && Number(bits) <= (version === 6 ? 128 : 32))
  )
}

/** The formats of variables beside those of JSON Schema. */
export const formats: Readonly<Record<string, (value: string) => boolean>> = {
  host: isHost,
  proxies: isProxyList,
}

/** What may be in the schema of a variable that is judged here; `false`: it says nothing of the value. */
const KNOWN: Readonly<Record<string, boolean>> = {
  type: true,
  enum: true,
  format: true,
  pattern: true,
  minLength: true,
  minimum: true,
  maximum: true,
  description: false,
  default: false,
  secret: false,
  expected: false,
  derived: false,
  time: false,
}

/** As far as numbers of digits are exact. */
const NUMBERS: Readonly<Record<string, RegExp>> = {
  integer: /^-?\d{1,15}$/,
  number: /^-?\d{1,15}(\.\d{1,15})?$/,
}

/**
 * The value of a variable that is what its schema wants at a look, converted from its text as a validator of JSON Schema does it.
 *
 * @returns undefined where it is not, or where only a validator can tell
 */
export function plainly(variable: VariableSchema, given: unknown): unknown {
  if (Object.keys(variable).some((keyword) => !Object.hasOwn(KNOWN, keyword))) return undefined
  const value = convert(variable.type, given)
  return value !== undefined && fits(variable, value) ? value : undefined
}

function convert(type: string | undefined, given: unknown): unknown {
  if (typeof given === 'string') {
    if (type === 'string' || type === undefined) return given
    if (type === 'boolean') return { true: true, false: false }[given]
    return NUMBERS[type]?.test(given) ? Number(given) : undefined
  }
  if (type === 'integer') return Number.isSafeInteger(given) ? given : undefined
  return typeof given === type ? given : undefined
}

interface Limits extends VariableSchema {
  readonly format?: string
  readonly enum?: readonly unknown[]
  readonly pattern?: string
  readonly minLength?: number
  readonly minimum?: number
  readonly maximum?: number
}

function fits(variable: Limits, value: unknown): boolean {
  const { enum: all, format, pattern, minLength = 0 } = variable
  const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = variable
  if (all && !all.includes(value)) return false
  if (typeof value === 'number') return value >= minimum && value <= maximum
  if (typeof value !== 'string') return true
  // A validator counts characters, which may be of two units each.
  if (value.length < (minLength > 1 ? 2 * minLength : minLength)) return false
  if (format !== undefined && !formats[format]?.(value)) return false
  return pattern === undefined || new RegExp(pattern, 'u').test(value)
}
