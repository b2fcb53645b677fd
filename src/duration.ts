import { LONGEST_TIMER } from './deadlines.ts'

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

type WithUnit = `${number}${keyof typeof UNITS}`

/** A length of time: milliseconds, or a text with its unit: `'250ms'`, `'30s'`, `'5m'`, `'2h'`, `'1d'`. */
export type Duration = number | WithUnit

/** Options that were read: their times are milliseconds. */
export type InMilliseconds<Options> = {
  [Name in keyof Options]: Exclude<Options[Name], WithUnit>
}

export const YEAR: number = 366 * UNITS.d

/** What a length of time has to be. */
export interface DurationLimits {
  /** Milliseconds; default 0. */
  least?: number
  /** Milliseconds; default a year. */
  most?: number
  /** Whether there are no parts of milliseconds; default false. */
  whole?: boolean
}

/** What a timer of Node.js waits for; 0 mostly says that there is no end. */
export const TIMER: DurationLimits = { most: LONGEST_TIMER, whole: true }

/** What is reckoned with, and no timer waits for. */
export const SPAN: DurationLimits = { least: 1, most: Number.MAX_SAFE_INTEGER, whole: true }

/**
 * The milliseconds of `duration`.
 *
 * @param name of the option, for the error
 * @param refuse makes the error of what is wrong; default: a RangeError
 * @throws what `refuse` makes where it is none, or not within the limits
 */
export function toMilliseconds(
  duration: Duration,
  name: string,
  limits: DurationLimits = {},
  refuse: (problem: string) => Error = (problem) => new RangeError(problem),
): number {
  const milliseconds = readTime(duration, limits)
  if (milliseconds !== undefined) return milliseconds
  throw refuse(`${name} is ${String(duration)}; expected ${timeInWords(limits)}`)
}

/** The milliseconds of `duration`; `undefined` where it is none, or not within the limits. */
export function readTime(
  duration: unknown,
  { least = 0, most = YEAR, whole = false }: DurationLimits,
): number | undefined {
  const milliseconds = typeof duration === 'number' ? duration : parse(duration)
  const fits = milliseconds >= least && milliseconds <= most
  return fits && (!whole || Number.isInteger(milliseconds)) ? milliseconds : undefined
}

/** What a length of time has to be, in words. */
export function timeInWords({ least = 0, most = YEAR, whole = false }: DurationLimits): string {
  const from = least > 0 && least < 1 ? 'above 0' : `from ${least}`
  const to = most >= Number.MAX_SAFE_INTEGER ? '' : `, ${most} ms at most`
  return `${whole ? 'whole ' : ''}milliseconds, or a text like '30s' (ms, s, m, h, d), ${from}${to}`
}

function parse(text: unknown): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(String(text)) ?? []
  // Not 1100.0000000000001 of 1.1 s.
  return Math.round(Number(number) * UNITS[unit as keyof typeof UNITS] * 1e6) / 1e6
}
