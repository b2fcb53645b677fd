import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { Cache } from '../../src/cache/types.ts'
import { redisUrl } from '../helpers/drivers.ts'
import { connect, openOn, until } from '../suites/cache-fixture.ts'

const ROUNDS = Number(process.env.ROUNDS ?? 60)
const KEYS = ['a', 'b', 'c']
const chance = (parts: number): boolean => Math.random() * parts < 1

t.test('whatever happens at once, nothing old is left in any process', async (t) => {
  const prefix = randomUUID()
  const caches: Cache[] = []
  for (let n = 0; n < 4; n++) caches.push(await openOn(await connect(t, redisUrl()), t, { prefix }))
  const source = new Map(KEYS.map((key) => [key, 0]))
  const read = async (key: string) => {
    if (chance(2)) await delay(Math.random() * 3)
    const value = source.get(key)
    if (chance(2)) await delay(Math.random() * 3)
    return value
  }
  const load = (cache: Cache, key: string) => {
    const options = { ttl: 3_600_000, stale: 3_600_000, tags: [`tag:${key}`, 'all'] }
    if (chance(10)) return cache.refresh(key, async () => `${await read(key)}`, options)
    if (chance(8)) return cache.get(key)
    // Or known only when it is there.
    const tags = chance(2) ? options.tags : () => options.tags
    return cache.getOrSet(key, () => read(key), { ...options, tags })
  }
  const change = async (cache: Cache, key: string) => {
    const version = (source.get(key) ?? 0) + 1
    source.set(key, version)
    const ways = [
      () => cache.delete(key),
      () => cache.clear(),
      () => cache.clear(key),
      () => cache.invalidate('all'),
      () => cache.invalidate(`tag:${key}`),
    ]
    await ways[Math.floor(Math.random() * ways.length)]?.()
    const seen = await cache.getOrSet(key, () => read(key), {
      ttl: 3_600_000,
      tags: [`tag:${key}`, 'all'],
    })
    if (Number(seen) < version) t.fail(`${key}: ${seen} after a change to ${version}`)
  }
  for (let round = 0; round < ROUNDS; round++) {
    const steps = Array.from({ length: 60 }, async () => {
      await delay(Math.random() * 15)
      const cache = caches[Math.floor(Math.random() * 4)] as Cache
      const key = KEYS[Math.floor(Math.random() * 3)] as string
      await (chance(6) ? change(cache, key) : load(cache, key))
    })
    await Promise.all(steps)
    for (const key of KEYS) {
      const current = (value: unknown) => value === undefined || Number(value) === source.get(key)
      await until(async () => {
        const values = await Promise.all(caches.map((cache) => cache.get(key)))
        return values.every(current)
      }).catch(() => t.fail(`${key} is old in round ${round}`))
    }
  }
  for (const { counts } of caches) t.match(counts, { errors: 0, garbage: 0, failures: 0 })
  t.ok(caches.every(({ counts }) => counts.hits_memory > 0 && counts.hits_redis > 0))
})
