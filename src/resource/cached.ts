import { canonicalKey } from '../cache/key.ts'
import type { Cache, Load as CacheLoad, Found, LoadOptions } from '../cache/types.ts'
import { toMilliseconds } from '../duration.ts'
import { type ErrorOptions, PlinthError } from '../errors.ts'
import { type CachePolicy, type CacheSlot, isShared, ownerOf, policyFor } from './cache-policy.ts'
import type { Context } from './context.ts'
import type { AnyDefined } from './contract.ts'
import { type Call, performed } from './steps.ts'

/** Where the result for `input` is kept; `undefined`: none, for this user or at all. */
export function cacheSlot(
  resource: AnyDefined,
  name: string,
  input: unknown,
  context: Context,
): CacheSlot | undefined {
  const { app, user } = context
  const policy = policyFor(app.registry.of(resource).cache, user)
  if (!policy) return undefined
  const cache = policy.store === undefined ? app.cache : app.getDecorator<Cache>(policy.store)
  if (!cache?.keeps) return undefined
  const key = canonicalKey(policy.key ? policy.key(input, context) : input)
  // What an earlier release has stored may not fit the schema of this one.
  const { fingerprint } = app.compiled.of(resource).writer
  return { cache, policy, key: `${name}:${ownerOf(policy, user)}:${fingerprint}:${key}` }
}

/**
 * The result for `slot` as JSON: from the cache, else loaded, once for all who wait for it. Nothing is stored that does
 * not fit its schema.
 *
 * @param anew load it whatever is there
 * @throws what `perform` throws, DEADLINE_EXCEEDED
 */
export function cachedResult(
  slot: CacheSlot,
  load: Call,
  anew = false,
): Promise<Found & { text: string }> {
  const { cache, policy, key } = slot
  const { stale, softTimeout, when, compress } = policy
  // That of the resource, whoever asks: others may wait for it longer than this one does.
  const loadTimeout = policy.loadTimeout ?? load.context.app.registry.of(load.resource).timeout
  let response: unknown
  let storable = true
  const options: LoadOptions = {
    ...dependent(policy, load.input, () => response),
    ...(stale !== undefined && { stale }),
    ...(softTimeout !== undefined && { softTimeout }),
    ...(compress !== undefined && { compress }),
    ...(loadTimeout !== undefined && { loadTimeout }),
  }
  const perform = async (signal: AbortSignal) => {
    const { app } = load.context
    response = await performDetached(load, isShared(policy), signal)
    storable = app.responses.accept(load.resource, load.name, response).fits
    return app.compiled.of(load.resource).writer.write(response ?? null)
  }
  const run = ending(slot, negative(slot, options, perform, anew), anew)
  const wanted = (text: string) => storable && (!when || when(JSON.parse(text)))
  const how = { ...options, when: wanted }
  const found = anew ? cache.refresh(key, run, how) : cache.find(key, run, how)
  return found as Promise<Found & { text: string }>
}

/** How long a result is kept and what it depends on: at once, or by `decide` where that follows from itself. */
function dependent(
  { ttl, tags = [] }: CachePolicy,
  input: unknown,
  result: () => unknown,
): Pick<LoadOptions, 'ttl' | 'tags' | 'decide'> {
  const isLate = typeof tags === 'function' && tags.length > 1
  const early = typeof tags === 'function' ? (isLate ? [] : tags(input, undefined)) : tags
  if (!isLate && typeof ttl !== 'function') return { ttl, tags: early }
  const decide = () => ({
    ttl: typeof ttl === 'function' ? ttl(input, result()) : ttl,
    tags: isLate ? tags(input, result()) : early,
  })
  return { ttl: typeof ttl === 'function' ? '1m' : ttl, tags: early, decide }
}

/** `load` that remembers for a while that there is nothing. */
function negative(
  { cache, policy, key }: CacheSlot,
  options: LoadOptions,
  load: CacheLoad<string>,
  anew: boolean,
): CacheLoad<string> {
  const { negative: ttl = 0 } = policy
  if (toMilliseconds(ttl, 'negative') === 0) return load
  const place = `${key}:404`
  const { decide: _, ...others } = options
  const how = { ...others, ttl, stale: 0 }
  return async (signal) => {
    let found: string | undefined
    // Loaded under its own key: what is invalidated meanwhile must not be remembered.
    const look = async (signal: AbortSignal) => {
      try {
        found = await load(signal)
        return undefined
      } catch (error) {
        return nothingOf(error)
      }
    }
    const { text: known } = await (anew
      ? cache.refresh(place, look, how)
      : cache.find(place, look, how))
    if (known === undefined) return found ?? (await load(signal))
    const { code, message, ...told } = JSON.parse(known) as Nothing
    throw new PlinthError(code, 404, message, told)
  }
}

interface Nothing extends Omit<ErrorOptions, 'cause'> {
  code: string
  message: string
}

/** What is stored of a 404. @throws `error` where it is another */
function nothingOf(error: unknown): string {
  if (!PlinthError.is(error) || error.statusCode !== 404) throw error
  const { code, message, errors, data } = error
  return JSON.stringify({ code, message, errors, data })
}

/** `load` that takes an old result away when it must not be served any more: it is gone, or is none of theirs. */
function ending(
  { cache, key, policy }: CacheSlot,
  load: CacheLoad<string>,
  anew: boolean,
): CacheLoad<string> {
  // Otherwise there is none when a load begins.
  if (!anew && !policy.stale) return load
  return async (signal) => {
    try {
      return await load(signal)
    } catch (error) {
      if (PlinthError.is(error) && FINAL.includes(error.statusCode)) await cache.delete(key)
      throw error
    }
  }
}

const FINAL: readonly number[] = [401, 403, 404, 410]

/** Runs `perform` in a context that does not end with the request: others wait for the result, too. */
async function performDetached(call: Call, shared: boolean, signal: AbortSignal): Promise<unknown> {
  return await performed({ ...call, context: call.context.detach(signal, shared) })
}

/** Takes away what is cached for `input`, and that there was nothing. */
export async function forget({ cache, key }: CacheSlot): Promise<void> {
  await cache.delete(key, `${key}:404`)
}
