const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** A length of time: milliseconds, or a text with its unit: `'250ms'`, `'30s'`, `'5m'`, `'2h'`, `'1d'`. */
export type Duration = number | `${number}${keyof typeof UNITS}`

export const YEAR: number = 366 * UNITS.d

/** What a length of time has to be. */
export interface DurationLimits {
  /** Milliseconds; default 0. */
  least?: number
  /** Milliseconds; default a year. */
  most?: number
}

/**
 * The milliseconds of `duration`.
 *
 * @param name of the option, for the error
 * @throws {RangeError} where it is none, or not within the limits
 */
export function toMilliseconds(
  duration: Duration,
  name: string,
  { least = 0, most = YEAR }: DurationLimits = {},
): number {
  const milliseconds = typeof duration === 'number' ? duration : parse(duration)
  if (milliseconds >= least && milliseconds <= most) return milliseconds
  const limits = `${least > 0 && least < 1 ? 'above 0' : `from ${least}`}, ${most} ms at most`
  throw new RangeError(
    `${name} is ${String(duration)}; expected milliseconds, or a text like '30s' (ms, s, m, h, d), ${limits}`,
  )
}

function parse(text: unknown): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(String(text)) ?? []
  return Number(number) * UNITS[unit as keyof typeof UNITS]
}
