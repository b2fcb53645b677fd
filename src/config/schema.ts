import Type from 'typebox'
import { LONGEST_TIMER } from '../deadlines.ts'

/** The values of the kit's variables, as `app.config` holds them: each of its plugins adds those that it declares. */
// biome-ignore lint/suspicious/noEmptyInterface: it is there to be extended
export interface KitConfig {}

/**
 * The service's own variables, for the type of `app.config`:
 * `declare module 'plinth' { interface ServiceConfig extends Static<typeof env> {} }`.
 */
// biome-ignore lint/suspicious/noEmptyInterface: it is there to be extended
export interface ServiceConfig {}

/** A variable that is a time of timers: milliseconds, or a text like `30s`; `minimum` 1 unless told. */
export function milliseconds(
  description: string,
  initial: number | { derived: string },
  minimum = 1,
) {
  return Type.Integer({
    description,
    ...(typeof initial === 'number' ? { default: initial } : initial),
    minimum,
    maximum: LONGEST_TIMER,
    expected: `milliseconds from ${minimum} to ${LONGEST_TIMER}, or with a unit: 30s (ms, s, m, h, d)`,
    time: true,
  })
}

/** A number of things, or bytes, of which there is at least one. */
export function count(description: string, initial: number) {
  return Type.Integer({ description, default: initial, minimum: 1 })
}

/** A host, whose format is checked. */
export const HOST = { format: 'host', expected: 'a host name or an IP address' }

/** Whether what goes to a host stays on this machine. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[?::1\]?)$/i.test(host)
}

/** A port that can be connected to. */
export const PORT = { minimum: 1, maximum: 65535 }

/** The URL of an attached resource: shown without its password. */
export function attachedUrl(
  description: string,
  pattern: string,
  expected: string,
  derived: string,
) {
  return Type.Optional(Type.String({ description, pattern, expected, derived, secret: 'password' }))
}
