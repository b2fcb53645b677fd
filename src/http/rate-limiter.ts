import { isIPv6 } from 'node:net'
import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { errors, type PlinthError } from '../errors.ts'
import { userOf } from '../resource/context.ts'
import { limitsWithin, type PlacedLimit } from '../resource/rate-limit.ts'
import type { Asked, Count, MemoryCounter, RedisCounter } from './rate-counter.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** {@link Plan} */
    limited?: Plan
  }
}

/** What is counted of the requests of a route, and when. */
interface Plan {
  /** The header `ratelimit-policy`. */
  readonly policy: string
  /** Before it is known who asks. */
  readonly early: readonly PlacedLimit[]
  readonly later: readonly PlacedLimit[]
}

type Done = (error?: Error) => void

const EARLY = ['all', 'address']

/** Counts requests, tells how many are left, and refuses those that are too many. */
export class RateLimiter {
  counter: MemoryCounter | RedisCounter
  readonly #limits: readonly PlacedLimit[]
  readonly #unrouted: Plan | undefined

  /** @param limits what counts everywhere */
  constructor(counter: MemoryCounter, limits: readonly PlacedLimit[]) {
    this.counter = counter
    this.#limits = limits
    this.#unrouted = planOf(limits.filter(isEarly))
  }

  /** Plans what limits a route: what `onRoute` has to do. */
  plan(route: RouteOptions): void {
    const { config = {}, method, url } = route
    // The process is asked by what looks after it.
    if (config.kit === 'health' || config.kit === 'metrics' || config.limited) return
    // HEAD is GET but for its answer.
    const place = `${method === 'HEAD' ? 'GET' : method} ${url}`
    const limits = config.limits ?? limitsWithin(this.#limits, config, place)
    const limited = planOf(limits)
    if (!limited) return
    route.config = { ...config, limited }
    // Behind all other hooks of that kind: whoever finds the user is among them.
    if (limited.later.length > 0)
      route.onRequest = [...[route.onRequest ?? []].flat(), this.countLater]
  }

  /** A hook for all requests, before it is known who makes them. */
  readonly countEarly = (request: FastifyRequest, reply: FastifyReply, done: Done): void => {
    const plan = request.is404 ? this.#unrouted : request.routeOptions.config.limited
    if (plan) reply.header('ratelimit-policy', plan.policy)
    this.#count(plan?.early ?? [], request, reply, done)
  }

  readonly countLater = (request: FastifyRequest, reply: FastifyReply, done: Done): void => {
    this.#count(request.routeOptions.config.limited?.later ?? [], request, reply, done)
  }

  #count(
    limits: readonly PlacedLimit[],
    request: FastifyRequest,
    reply: FastifyReply,
    done: Done,
  ): void {
    const asked: (Asked & PlacedLimit)[] = []
    for (const limit of limits) {
      const who = whoIs(limit, request)
      if (who !== undefined) asked.push({ ...limit, key: `${limit.name}"${who}` })
    }
    const counts = asked.length === 0 ? [] : this.counter.take(asked)
    if (counts instanceof Promise)
      counts.then((counts) => tell(reply, asked, counts)).then(done, done)
    else done(tell(reply, asked, counts))
  }
}

function planOf(limits: readonly PlacedLimit[]): Plan | undefined {
  if (limits.length === 0) return undefined
  const policies = limits.map(
    ({ name, max, duration }) => `"${name}";q=${max};w=${seconds(duration)}`,
  )
  return {
    policy: policies.join(', '),
    early: limits.filter(isEarly),
    later: limits.filter((limit) => !isEarly(limit)),
  }
}

function isEarly({ by }: PlacedLimit): boolean {
  return EARLY.includes(by)
}

/** Whose requests this one counts with; `undefined`: it is not counted. */
function whoIs({ by }: PlacedLimit, request: FastifyRequest): string | undefined {
  switch (by) {
    case 'all':
      return ''
    case 'address':
      return networkOf(request.ip)
    case 'user': {
      const user = userOf(request.server, request)
      // Whoever leaves out credentials must not be counted less.
      return user ? `id ${user.id}` : networkOf(request.ip)
    }
    default:
      return request.auth?.[by]
  }
}

/** Tells how much is left. @returns an error where it was too much */
function tell(
  reply: FastifyReply,
  limits: readonly PlacedLimit[],
  counts: readonly Count[],
): PlinthError | undefined {
  const all = limits.map((limit, at) => ({ ...limit, ...(counts[at] as Count) }))
  const states = all.map(
    ({ name, max, count, left }) => `"${name}";r=${Math.max(0, max - count)};t=${seconds(left)}`,
  )
  if (all.length === 0) return undefined
  const earlier = reply.getHeader('ratelimit')
  reply.header('ratelimit', [...(earlier ? [earlier] : []), ...states].join(', '))
  const over = all.filter(({ isOver }) => isOver)
  if (over.length === 0) return undefined
  reply.header('retry-after', Math.max(1, ...over.map(({ left }) => seconds(left))))
  const told = over.map(({ name, max, duration }) => ({
    path: '',
    message: `${name}: at most ${max} in ${seconds(duration)} s`,
  }))
  return errors.TOO_MANY_REQUESTS.with({ errors: told })
}

function seconds(milliseconds: number): number {
  return Math.ceil(milliseconds / 1000)
}

const MAPPED = /^::ffff:(?=\d+\.)/i

/** Whose address it is: of IPv6 each customer has a network of 64 bits at least, and may use all of it. */
export function networkOf(address = ''): string {
  const plain = address.replace(MAPPED, '')
  if (!isIPv6(plain)) return plain
  const [head = '', tail] = plain.toLowerCase().split('::')
  const first = head === '' ? [] : head.split(':')
  const last = tail ? tail.split(':') : []
  const zeros = tail === undefined ? [] : Array<string>(8 - first.length - last.length).fill('0')
  const network = [...first, ...zeros, ...last].slice(0, 4)
  return `${network.map((group) => group.replace(/^0+(?=.)/, '')).join(':')}::`
}
