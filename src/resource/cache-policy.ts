import { canonicalKey } from '../cache/key.ts'
import type { Cache } from '../cache/types.ts'
import { type Duration, toMilliseconds } from '../duration.ts'
import { errors } from '../errors.ts'
import type { Context, User } from './context.ts'

/** How the results of a resource are cached. Times are milliseconds, or texts like `'30s'`. */
export interface CachePolicy<Req = unknown, Res = unknown> {
  /** How long a result is fresh; or a function that tells it of each. */
  ttl: Duration | ((request: Req, result: Res) => Duration)
  /** How long after that it may be served while it is loaded anew, or when that fails; default 0. */
  stale?: Duration
  /** How long a call waits for a fresh result before it is given such a one; default 0: at once. */
  softTimeout?: Duration
  /** How long it is remembered that there is nothing (404); default 0. */
  negative?: Duration
  /**
   * Whether each user has results of its own; default true. False: they are computed for nobody, without a user. A function: what of a user
   * they depend on, a tenant or roles; who is alike in that shares what was computed for the first of them.
   */
  perUser?: boolean | ((user: User) => unknown)
  /**
   * What a result depends on, for `app.cache.invalidate`. A function of two parameters is asked when the result is there; one of the
   * request alone before, so that it is known what is being computed.
   */
  tags?: readonly string[] | ((request: Req, result: Res) => readonly string[])
  /** What of the request, and of its context, the result depends on; default: all of the request. */
  key?: (request: Req, context: Context) => unknown
  /** Whether this result is stored; default: each is. */
  when?: (result: Res) => boolean
  /**
   * How long computing a result may take, whoever waits for it: then it has failed, and the next call computes it again;
   * 0: no end. Default: the resource's `timeout`, else a minute.
   */
  loadTimeout?: Duration
  /** Whether long results are compressed in Redis; default true. */
  compress?: boolean
  /**
   * What clients and proxies are told that they may keep of a GET: `Cache-Control`, `Age` and `Vary`. What they have nobody can take away
   * again: no `invalidate` reaches it. `'public'`: proxies, too, for whoever asks, also without credentials. Default: nothing is told.
   */
  http?: HttpCaching['scope'] | HttpCaching
  /** The cache that has it, where the app has several: the name of that use of plinth/plugins/cache. Default: `app.cache`. */
  store?: string
}

/** What is told of a result that comes from the cache. */
export interface HttpCaching {
  scope: 'private' | 'public'
  /** The most that it may be kept; default: as long as it is fresh here. */
  maxAge?: Duration
  /** The request headers that it depends on, beside those by which users are told apart. */
  vary?: readonly string[]
}

/** A policy, and another one for calls without a user (`false`: those are not cached). */
export interface ResourceCache<Req = unknown, Res = unknown> extends CachePolicy<Req, Res> {
  anonymous?: false | CachePolicy<Req, Res>
}

/** How a call is answered: `cached` from the cache where it can, `refresh` anew and stored, `cacheless` without it. */
export type CacheMode = 'cached' | 'refresh' | 'cacheless'

/** What a call of a cached resource needs. */
export interface CacheSlot {
  cache: Cache
  policy: CachePolicy
  key: string
}

/** The policy for calls of `user`, where there is one. */
export function policyFor(
  cache: ResourceCache | undefined,
  user: User | undefined,
): CachePolicy | undefined {
  if (!cache || user || cache.anonymous === undefined) return cache
  return cache.anonymous || undefined
}

/** Whose results they are, in the key of an entry. */
export function ownerOf({ perUser = true }: CachePolicy, user: User | undefined): string {
  if (!user || perUser === false) return '-'
  // An id may look like anything: written like this it says itself where it ends.
  return perUser === true ? `@${canonicalKey(user.id)}` : `=${canonicalKey(perUser(user))}`
}

/** Whether all users have one result. */
export function isShared({ perUser = true }: CachePolicy): boolean {
  return perUser === false
}

/**
 * How a resource is cached, its times in milliseconds.
 *
 * @param of what else the resource says: `scope`, whether a result depends on whose rows it is made of
 * @throws {PlinthError} RESOURCE_INVALID where a time is none, or users would be given the rows of others
 */
export function readCachePolicy(
  name: string,
  cache: ResourceCache | undefined,
  of: { readonly scope?: unknown; readonly method?: string },
): ResourceCache | undefined {
  if (!cache) return undefined
  const refuse = (problem: string) => invalid(name, problem)
  assertHttp(cache, of.method, refuse)
  if (of.scope !== undefined && (cache.perUser ?? true) !== true)
    throw refuse(
      `perUser is ${cache.perUser === false ? 'false' : 'a function'}, and its scope gives each user other rows`,
    )
  const { ttl, anonymous, http, ...others } = cache
  const read: ResourceCache = {
    ...others,
    ttl: typeof ttl === 'function' ? ttl : toMilliseconds(ttl, 'ttl', ABOVE_0, refuse),
  }
  for (const time of TIMES) {
    const { [time]: given } = others
    if (given !== undefined) read[time] = toMilliseconds(given, time, {}, refuse)
  }
  if (typeof http === 'object' && http.maxAge !== undefined)
    read.http = { ...http, maxAge: toMilliseconds(http.maxAge, 'maxAge', {}, refuse) }
  else if (http !== undefined) read.http = http
  if (anonymous === undefined) return read
  // Of nobody there is one.
  const ofNobody = anonymous && readCachePolicy(name, anonymous, { ...of, scope: undefined })
  return { ...read, anonymous: ofNobody || false }
}

const TIMES = ['stale', 'softTimeout', 'negative', 'loadTimeout'] as const
const ABOVE_0 = { least: Number.MIN_VALUE }

function assertHttp(
  { http, perUser = true }: CachePolicy,
  method = 'GET',
  refuse: (problem: string) => Error,
): void {
  if (http === undefined) return
  const { scope } = typeof http === 'string' ? { scope: http } : http
  if (scope !== 'private' && scope !== 'public')
    throw refuse(`http is ${scope}; expected private or public`)
  if (scope === 'public' && perUser !== false)
    throw refuse('http is public, and each user has results of its own: perUser is not false')
  if (method !== 'GET') throw refuse(`http is said of a ${method}: nobody keeps what it answers`)
}

function invalid(name: string, problem: string): Error {
  return errors.RESOURCE_INVALID(name, `of its cache ${problem}`)
}
