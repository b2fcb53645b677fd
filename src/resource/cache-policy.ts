import { canonicalKey } from '../cache/key.ts'
import type { Cache } from '../cache/types.ts'
import { errors } from '../errors.ts'
import type { Context, User } from './context.ts'

/** How the results of a resource are cached. Times are seconds. */
export interface CachePolicy<Req = unknown, Res = unknown> {
  /** How long a result is fresh. */
  ttl: number
  /** How long after that it may be served while it is loaded anew, or when that fails; default 0. */
  stale?: number
  /** How long it is remembered that there is nothing (404); default 0. */
  negative?: number
  /** Whether each user has results of its own; default true. False: they are computed for nobody, without a user. */
  perUser?: boolean
  /** What a result depends on, for `app.cache.invalidate`. */
  tags?: readonly string[] | ((request: Req) => readonly string[])
  /** What of the request the result depends on; default: all of it. */
  key?: (request: Req) => unknown
  /** Whether this result is stored; default: each is. */
  when?: (result: Res) => boolean
  /**
   * How long computing a result may take, whoever waits for it: then it has failed, and the next call computes it again;
   * 0: no end. Default: the resource's `timeout`, else 60.
   */
  loadTimeout?: number
  /** Whether long results are compressed in Redis; default true. */
  compress?: boolean
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

/** What the results of `input` depend on. */
export function tagsOf({ tags = [] }: CachePolicy, input: unknown): readonly string[] {
  return typeof tags === 'function' ? tags(input) : tags
}

/** Whose results they are, in the key of an entry. */
export function ownerOf(policy: CachePolicy, { user }: Pick<Context, 'user'>): string {
  // An id may look like anything: written like this it says itself where it ends.
  return user && !isShared(policy) ? `@${canonicalKey(user.id)}` : '-'
}

/** Whether all users have one result. */
export function isShared({ perUser = true }: CachePolicy): boolean {
  return !perUser
}

/**
 * @param scoped whether the result depends on whose rows it is made of
 * @throws {PlinthError} RESOURCE_INVALID where a time is none, or users would be given the rows of others
 */
export function assertCachePolicy(
  name: string,
  cache: ResourceCache | undefined,
  scoped: boolean,
): void {
  if (!cache) return
  if (scoped && isShared(cache))
    throw invalid(name, 'perUser is false, and its scope gives each user other rows')
  const { ttl, stale = 0, negative = 0, loadTimeout = 0, anonymous } = cache
  const times = { stale, negative, loadTimeout }
  if (!(Number.isFinite(ttl) && ttl > 0))
    throw invalid(name, `ttl is ${ttl}; expected seconds above 0`)
  for (const [key, value] of Object.entries(times)) {
    if (!(Number.isFinite(value) && value >= 0))
      throw invalid(name, `${key} is ${value}; expected seconds from 0`)
  }
  // Of nobody there is one.
  if (anonymous) assertCachePolicy(name, anonymous, false)
}

function invalid(name: string, problem: string): Error {
  return errors.RESOURCE_INVALID(name, `of its cache ${problem}`)
}
