import t from 'tap'
import type { Cache } from '../../src/cache/types.ts'
import { ownRedis } from '../helpers/own-redis.ts'
import { connect, openOn } from '../suites/cache-fixture.ts'

const ENTRIES = 200

/** `maxmemory-policy` of Redis. */
const POLICIES = [
  ...['noeviction', 'allkeys-lru', 'allkeys-lfu', 'allkeys-random'],
  ...['volatile-lru', 'volatile-lfu', 'volatile-random', 'volatile-ttl'],
]

t.test('a Redis that evicts lets nothing outlive its invalidation', async (t) => {
  const { url } = await ownRedis(t, { args: ['--maxmemory-samples', '10'] })
  const redis = await connect(t, url)
  const evicted = async () => Number(/evicted_keys:(\d+)/.exec(await redis.info('stats'))?.[1])
  const alive: number[] = []
  for (const policy of POLICIES) {
    await redis.config('SET', 'maxmemory', '0')
    await redis.config('SET', 'maxmemory-policy', policy)
    await redis.flushall()
    // Without level 1: it is Redis that is asked each time.
    const caches: Cache[] = []
    for (let n = 0; n < 2; n++)
      caches.push(await openOn(await connect(t, url), t, { prefix: policy, maxBytes: 0 }))
    const [a, b] = caches as [Cache, Cache]
    await b.get('first')
    const keys = Array.from({ length: ENTRIES }, (_, n) => `item:${n}`)
    for (const key of keys)
      await a.getOrSet(key, () => `${key} ${'x'.repeat(200)}`, {
        ttl: 3_600_000,
        tags: key.endsWith('0') ? [key, 'tens'] : [key],
      })
    // Only the entries are used from now on, so that of all the rest the generations are the oldest.
    for (const key of keys) await redis.get(`{${policy}}:c:${key}`)
    const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1])
    await redis.config('SET', 'maxmemory', `${used + 50_000}`)
    const before = await evicted()
    for (let n = 0; n < 400 && (await evicted()) < before + 60; n++)
      await redis.set(`filler:${n}`, 'x'.repeat(2000), 'PX', 3_600_000).catch(() => {})
    if (policy !== 'noeviction') t.ok((await evicted()) >= before + 60, `${policy} evicts`)
    const served = []
    for (const key of keys) if ((await b.get(key)) !== undefined) served.push(key)
    alive.push(served.length)
    await a.invalidate(...keys.filter((_, n) => n % 2 === 0))
    const stale: string[] = []
    const look = async (changed: readonly string[]) => {
      for (const cache of [a, b])
        for (const key of changed) if ((await cache.get(key)) !== undefined) stale.push(key)
    }
    await look(keys.filter((_, n) => n % 2 === 0))
    await b.invalidate('tens', ...keys)
    await look(keys)
    t.strictSame(stale, [], `${policy}: of ${ENTRIES}`)
  }
  t.equal(alive[0], ENTRIES)
  t.ok(alive.filter((count) => count > 20).length >= 4, `served before: ${alive}`)
  t.comment(`served before: ${alive}`)
})
