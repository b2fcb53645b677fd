import { type Duration, type InMilliseconds, SPAN, toMilliseconds } from '../duration.ts'
import { errors } from '../errors.ts'

const BY = ['all', 'address', 'user', 'app', 'token'] as const

/** How many requests may be made in a time. */
export interface RateLimit {
  /**
   * Whose requests count together: those of everybody, of an address (of IPv6 a network, /64), of a user (where there is none, of the
   * address), of a calling app, of a token. What has no app or no token is not counted by it. Default `user`.
   */
  readonly by?: (typeof BY)[number]
  /** The most requests. */
  readonly max: number
  /** From the first of them on: milliseconds, or a text like `'1m'`; at least a second. */
  readonly duration: Duration
  /** What it is called in the headers of answers, behind where it is said; needed where two count `by` the same. Default: `by`. */
  readonly name?: string
}

/** What a service, a module, a resource or a route says of how often it may be asked. */
export interface RateLimitSettings {
  /**
   * All that is in it counts together, and by what is said around it, too. `false`: it is not limited, not by what is around it,
   * either. Only requests count, and no calls in process.
   */
  readonly rateLimits?: RateLimit | readonly RateLimit[] | false
}

/** A limit as it counts. */
export interface PlacedLimit extends Required<InMilliseconds<RateLimit>> {
  /** `user`, `tickets.close user`: its own in an app. */
  readonly name: string
}

declare module 'fastify' {
  interface FastifyContextConfig extends RateLimitSettings {
    /** What limits the route, where that is known already. */
    limits?: readonly PlacedLimit[]
  }
}

/**
 * What limits something within `outer`.
 *
 * @param place of what says it: a resource, a module, a route; empty for what counts everywhere
 * @throws {PlinthError} RESOURCE_INVALID
 */
export function limitsWithin(
  outer: readonly PlacedLimit[],
  { rateLimits = [] }: RateLimitSettings,
  place: string,
): readonly PlacedLimit[] {
  if (rateLimits === false) return []
  const own = [rateLimits].flat() as readonly RateLimit[]
  if (own.length === 0) return outer
  const placed = own.map((limit) => placeLimit(limit, place))
  const twice = placed.find(({ name }, at) => placed.findIndex((one) => one.name === name) < at)
  if (twice) throw invalid(place, `two of its rateLimits count by ${twice.by}; give one a name`)
  return [...outer, ...placed]
}

function placeLimit(limit: RateLimit, place: string): PlacedLimit {
  const { by = 'user', max, name = by } = limit ?? {}
  if (!BY.includes(by))
    throw invalid(place, `its rateLimits count by ${by}; expected ${BY.join(', ')}`)
  if (!Number.isInteger(max) || max < 1)
    throw invalid(place, `max of its rateLimits is ${max}; expected an integer of at least 1`)
  const duration = toMilliseconds(
    limit.duration,
    'duration of its rateLimits',
    LIMITED,
    (problem) => invalid(place, problem),
  )
  const whole = place === '' ? name : `${place} ${name}`
  // In a header it is a text in quotes (RFC 9651, 3.3.3).
  return { by, max, duration, name: whole.replaceAll(/[^\x20-\x7e]|["\\]/g, '_') }
}

const LIMITED = { ...SPAN, least: 1000 }

function invalid(place: string, problem: string): Error {
  return errors.RESOURCE_INVALID(place === '' ? '*' : place, problem)
}
