import { randomUUID } from 'node:crypto'
import Fastify from 'fastify'
import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import cache, { type CacheOptions } from '../../plugins/cache.ts'
import redis from '../../plugins/redis.ts'
import type { Cache } from '../../src/cache/types.ts'
import { PATIENT, redisUrl } from '../helpers/drivers.ts'
import { ownRedis } from '../helpers/own-redis.ts'
import { freePort } from '../servers/ready.ts'
import { until } from '../suites/cache-fixture.ts'

async function create(t: Test, options: CacheOptions & { url?: string } = {}) {
  const { url, ...rest } = options
  const app = Fastify()
  t.teardown(() => app.close())
  if (url) await app.register(redis, { url, ...PATIENT })
  await app.register(cache, rest)
  return app
}

const HOUR = { ttl: 3_600_000 }

t.test('works alone in a Fastify app, in memory', async (t) => {
  const app = await create(t)
  let loads = 0
  app.get('/', async () => await app.cache.getOrSet('key', () => ({ loads: ++loads }), HOUR))
  for (let n = 0; n < 3; n++) t.strictSame((await app.inject('/')).json(), { loads: 1 })
  t.match(await app.cache.stats(), { redis: null, memory: { entries: 1 } })
  const lock = await app.cache.lock('job', { ttl: 60_000 })
  t.equal(lock.name, 'job')
  await t.rejects(
    app.cache.lock('job', { ttl: 60_000 }),
    { code: 'LOCK_HELD' },
    'they are the same',
  )
  await lock.release()
})

t.test('apps with one Redis and prefix share a cache, others do not', async (t) => {
  const options = { url: redisUrl(), ...PATIENT, prefix: randomUUID() }
  const [a, b] = [await create(t, options), await create(t, options)]
  const stranger = await create(t, { ...options, prefix: randomUUID() })
  await a.cache.set('key', 'value', HOUR)
  t.equal(await b.cache.get('key'), 'value')
  t.equal(await stranger.cache.get('key'), undefined)
  const lock = await a.cache.lock('job', { ttl: 5000 })
  await t.rejects(b.cache.lock('job', { ttl: 5000 }), { code: 'LOCK_HELD' })
  await (await stranger.cache.lock('job', { ttl: 5000 })).release()
  await lock.release()
  await b.cache.invalidate('none')
  t.equal(await stranger.cache.clear(), 0)
  t.equal(await a.cache.clear(), 1)
})

t.test('a Redis of its own has it, another cache a third', async (t) => {
  const servers = {
    redis: await ownRedis(t),
    'cache-redis': await ownRedis(t),
    'pages-redis': await ownRedis(t),
  }
  const app = Fastify()
  t.teardown(() => app.close())
  for (const [name, { url }] of Object.entries(servers))
    await app.register(redis, { url, name, ...PATIENT })
  await app.register(cache, { prefix: 'own', ...PATIENT })
  await app.register(cache, { prefix: 'own', name: 'pages', ...PATIENT })
  await app.cache.set('key', 'value', HOUR)
  await app.getDecorator<Cache>('pages').set('page', 'value', HOUR)
  const entries = async (name: string) =>
    (await app.getDecorator<Redis>(name).keys('*:c:*')).map((key) => key.replace(/^.*:c:/, ''))
  t.strictSame(await Promise.all(Object.keys(servers).map(entries)), [[], ['key'], ['page']])
})

t.test('closes before Redis does, and tells what it has counted', async (t) => {
  const options = { url: redisUrl(), ...PATIENT, prefix: randomUUID() }
  const app = await create(t, options)
  await app.cache.getOrSet('key', () => 1, HOUR)
  await app.close()
  const other = await create(t, options)
  t.match((await other.cache.stats()).counts, { misses: 1 })
  t.equal(await app.cache.getOrSet('another', () => 2, HOUR), 2, 'a closed one fails no call')
})

t.test('is in memory while the Redis of its app is away', async (t) => {
  const app = await create(t, { url: `redis://127.0.0.1:${await freePort()}` })
  t.equal(await app.cache.getOrSet('key', () => 1, HOUR), 1)
  t.equal(app.cache.peek('key')?.text, '1')
  await t.rejects(app.cache.lock('job', { ttl: 1000 }), { code: 'CACHE_UNAVAILABLE' })
})

t.test('fails no request while Redis goes away and comes back', async (t) => {
  const server = await ownRedis(t)
  const app = await create(t, { url: server.url })
  app.get('/:id', async (request) => {
    const { id } = request.params as { id: string }
    return await app.cache.getOrSet(id, () => ({ id }), { ttl: 50, tags: [id] })
  })
  const slow: number[] = []
  let [asking, asked, failed] = [true, 0, 0]
  const ask = async () => {
    while (asking) {
      const began = performance.now()
      const { statusCode } = await app.inject(`/${asked++ % 50}`)
      if (statusCode !== 200) failed++
      const took = performance.now() - began
      // Who waited for Redis would wait until it is there again.
      if (took > 5000) slow.push(took)
      await new Promise(setImmediate)
    }
  }
  const users = Promise.all([ask(), ask(), ask()])
  for (let round = 0; round < 2; round++) {
    const before = asked
    await until(() => asked > before + 200)
    await server.kill()
    const during = asked
    await until(() => asked > during + 500)
    await server.restart()
    await until(async () => (await app.cache.stats()).redis !== null)
  }
  asking = false
  await users
  t.equal(failed, 0)
  t.strictSame(slow, [], `of ${asked} requests`)
})

t.test('refuses options that are not usable', async (t) => {
  await t.rejects(create(t, { url: redisUrl(), prefix: '{a}' }), { name: 'TypeError' })
  await t.rejects(create(t, { maxEntries: -1 }), { code: 'PLUGIN_OPTION_INVALID' })
})
