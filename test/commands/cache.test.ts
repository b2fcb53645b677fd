import t from 'tap'
import { PATIENT_ENV } from '../helpers/drivers.ts'
import { freePort } from '../servers/ready.ts'
import { createJobs } from './task-service.ts'

t.test('counts, shows, invalidates and clears what is cached', async (t) => {
  const jobs = await createJobs(t)
  const { cache } = jobs.app
  await jobs.app.resources.jobs?.cached?.()
  await cache.set('motd', { text: 'Hello' }, { ttl: 3_600_000, tags: ['texts'] })

  const stats = await jobs.run('cache', 'stats', '--json')
  t.match(JSON.parse(stats.stdout), { redis: { entries: 2 }, counts: { garbage: 0 } })
  t.match((await jobs.run('cache', 'stats')).stdout, /^entries +2$/m)

  const got = await jobs.run('cache', 'get', 'motd')
  t.strictSame([got.code, JSON.parse(got.stdout)], [0, { text: 'Hello' }])
  const none = await jobs.run('cache', 'get', 'none')
  t.equal(none.code, 1)
  t.match(none.stderr, 'There is no fresh entry none')

  const invalidated = await jobs.run('cache', 'invalidate', 'texts', 'other')
  t.strictSame([invalidated.code, invalidated.stdout], [0, 'invalidated texts, other\n'])
  t.equal(await cache.get('motd'), undefined, 'also in the memory of this process')
  t.equal((await jobs.run('cache', 'invalidate')).code, 2)

  await cache.set('motd', 1, { ttl: 3_600_000 })
  const some = await jobs.run('cache', 'clear', 'jobs.cached:', '--json')
  t.strictSame([some.code, JSON.parse(some.stdout)], [0, { cleared: 1 }])
  t.equal(await cache.get('motd'), 1)
  const all = await jobs.run('cache', 'clear')
  t.strictSame([all.code, all.stdout], [0, 'cleared 1\n'])
  t.equal(await cache.get('motd'), undefined)
})

t.test('finds what is cached in a Redis of its own', async (t) => {
  const jobs = await createJobs(t)
  await jobs.app.cache.set('motd', 'Hello', { ttl: 3_600_000 })
  const own = {
    REDIS_URL: '',
    CACHE_REDIS_URL: jobs.env.REDIS_URL as string,
    CACHE_REDIS_TIMEOUT: PATIENT_ENV.REDIS_TIMEOUT,
  }
  t.match(await jobs.runIn(own, 'cache', 'get', 'motd'), { code: 0, stdout: '"Hello"\n' })
  const none = await jobs.runIn({ REDIS_URL: '' }, 'cache', 'get', 'motd')
  t.equal(none.code, 1)
  t.match(none.stderr, /REDIS_MISSING.*CACHE_REDIS_URL/)
})

t.test('says that nothing was changed where Redis is away', async (t) => {
  const jobs = await createJobs(t)
  const away = { REDIS_URL: `redis://127.0.0.1:${await freePort()}` }
  for (const args of [
    ['invalidate', 'texts'],
    ['clear', 'jobs.cached:'],
  ]) {
    const { code, stdout, stderr } = await jobs.runIn(away, 'cache', ...args)
    t.strictSame([code, stdout], [1, ''], args.join(' '))
    t.match(stderr, /CACHE_UNAVAILABLE/)
  }
})

t.test('clears everything in production only when it is forced', async (t) => {
  const jobs = await createJobs(t)
  const { cache } = jobs.app
  const production = { NODE_ENV: 'production', SECRET_KEY: 'x'.repeat(64), QUEUES: 'false' }
  await cache.set('a', 1, { ttl: 3_600_000 })
  await cache.set('b', 2, { ttl: 3_600_000 })
  const refused = await jobs.runIn(production, 'cache', 'clear')
  t.equal(refused.code, 1)
  t.match(refused.stderr, /PRODUCTION_REFUSED/)
  t.equal(await cache.get('a'), 1)
  t.equal((await jobs.runIn(production, 'cache', 'clear', 'a')).stdout, 'cleared 1\n')
  const forced = await jobs.runIn(production, 'cache', 'clear', '--force')
  t.strictSame([forced.code, forced.stdout], [0, 'cleared 1\n'])
})
