import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { type CacheOptions, openCache } from '../../src/cache/open.ts'
import type { Cache } from '../../src/cache/types.ts'
import { REDIS_LIMITS } from '../../src/config/redis-connection.ts'
import { createGate } from '../helpers/app.ts'
import { block } from '../helpers/block.ts'
import { ownRedis } from '../helpers/own-redis.ts'
import type { OwnServer } from '../helpers/own-server.ts'
import { patientConnection, until } from '../suites/cache-fixture.ts'

const HOUR = { ttl: 3_600_000 }
const TIMEOUT = REDIS_LIMITS.commandTimeout
/** For a Redis that answers, or refuses connections: who waited for its time would wait for seconds. */
const LASTING = { commandTimeout: 5000 }
/** For one that does not answer: more than what does not wait for it takes on a busy machine. */
const BRIEF = { commandTimeout: 4000 }

interface Log {
  lines: string[]
  warn(fields: object, message: string): void
  info(fields: object, message: string): void
}

/** A cache whose Redis may be away from the beginning. The test's own commands have more time than those of the cache. */
async function open(
  t: Test,
  { url }: OwnServer,
  options: Partial<CacheOptions> = {},
): Promise<{ cache: Cache; client: Redis; log: Log }> {
  const client = new Redis(patientConnection(url))
  client.on('error', () => {})
  await client.connect().catch(() => {})
  const lines: string[] = []
  const log: Log = {
    lines,
    warn: (_, message) => lines.push(`warn ${message}`),
    info: (_, message) => lines.push(`info ${message}`),
  }
  const cache = await openCache({ client, log, ...options })
  t.teardown(async () => {
    await cache.close()
    client.disconnect()
  })
  return { cache, client, log }
}

/** Whether it stores in Redis. */
async function shares(cache: Cache): Promise<boolean> {
  await cache.set('probe', 1, { ttl: 60_000 })
  return ((await cache.stats()).redis?.entries ?? 0) > 0
}

/** How long calls of every kind take at most, and that none fails. */
async function useAll(t: Test, cache: Cache): Promise<number> {
  let longest = 0
  const timed = async (call: () => Promise<unknown>) => {
    const began = performance.now()
    await call()
    longest = Math.max(longest, performance.now() - began)
  }
  const options = { ...HOUR, tags: ['tag'] }
  await timed(() => cache.getOrSet('a', () => 1, options))
  t.equal(cache.peek('a')?.text, '1', 'level 1 works')
  await timed(() => cache.get('none'))
  await timed(() => cache.set('b', 2, options))
  await timed(() => cache.refresh('a', async () => '3', options))
  await timed(() => cache.delete('b'))
  await timed(() => cache.invalidate('tag'))
  t.strictSame([cache.peek('a')?.text, cache.peek('b')?.text], [undefined, undefined])
  await timed(() => cache.clear())
  await timed(() => cache.stats())
  return longest
}

t.test('a Redis that is killed and comes back', async (t) => {
  const server = await ownRedis(t)
  const { cache, log } = await open(t, server, LASTING)
  await cache.set('old', 1, HOUR)
  await server.kill()
  await cache.get('anything')
  t.ok((await useAll(t, cache)) < LASTING.commandTimeout, 'it is not waited for')

  let loads = 0
  const load = async () => ++loads
  const many = await Promise.all(Array.from({ length: 50 }, () => cache.getOrSet('m', load, HOUR)))
  t.strictSame(new Set(many), new Set([1]), 'loaded once in this process')

  await t.rejects(cache.lock('job', { ttl: 1000 }), { code: 'CACHE_UNAVAILABLE', statusCode: 503 })

  await server.restart()
  const began = performance.now()
  await until(() => shares(cache))
  const took = performance.now() - began
  t.ok(took < 30_000, `back after ${took} ms`)
  t.equal(await cache.get('old'), undefined, 'it was cleared meanwhile')
  t.strictSame(log.lines, [
    'warn The cache goes on without Redis',
    'info The cache uses Redis again',
  ])
  t.ok(cache.counts.errors < 10, `${cache.counts.errors} errors`)
})

t.test('what was changed without Redis is not served when it is back', async (t) => {
  const server = await ownRedis(t)
  const { cache } = await open(t, server)
  const fill: [string, object][] = [
    ['tagged', { tags: ['tag'] }],
    ['deleted', {}],
    ['overwritten', {}],
    ['some:cleared', {}],
    ['untouched', { tags: ['other'] }],
  ]
  for (const [key, options] of fill) await cache.set(key, 'old', { ...HOUR, ...options })
  await server.kill()
  await cache.invalidate('tag')
  await cache.delete('deleted')
  await cache.set('overwritten', 'new', HOUR)
  await cache.clear('some:')
  await server.restart()
  await until(async () => (await cache.stats()).redis !== null)
  const { cache: other } = await open(t, server)
  const found = await Promise.all(fill.map(([key]) => other.get(key)))
  t.strictSame(found, Array(5).fill(undefined), 'it may have forgotten more')
})

for (const [when, lost] of [
  ['at first', 1],
  ['when it is back', 2],
] as const) {
  t.test(`a Redis that says too late ${when} which run it is`, async (t) => {
    const server = await ownRedis(t)
    const { cache, client } = await open(t, server)
    const send = client.sendCommand.bind(client)
    let asked = 0
    client.sendCommand = async (command) => {
      const isLost = String(command.args) === 'server' && ++asked === lost
      return isLost ? await command.promise : await send(command)
    }
    await until(() => shares(cache))
    await cache.set('key', 'old', HOUR)
    await server.kill()
    await server.restart()
    await until(async () => (await cache.stats()).redis !== null)
    t.ok(asked > lost)
    const { cache: other } = await open(t, server)
    const found = [await cache.get('key'), await other.get('key')]
    t.strictSame(found, [undefined, undefined], 'it may have forgotten that this was invalidated')
  })
}

t.test('what is changed while Redis comes back is told, and it is used again', async (t) => {
  const server = await ownRedis(t)
  const { cache, client } = await open(t, server)
  await cache.set('first', 1, HOUR)
  await server.kill()
  await cache.delete('first')
  const send = client.sendCommand.bind(client)
  const told = createGate()
  client.sendCommand = async (command) => {
    const answer = await send(command)
    if (!String(command.args).includes('first')) return answer
    told.open()
    await cache.delete('second')
    // It is slow, and what is to be told of the second comes to nothing until it is back.
    await delay(TIMEOUT / 2)
    return answer
  }
  await server.restart()
  await told.opened
  client.sendCommand = send
  await until(async () => (await cache.stats()).redis !== null)
  await until(() => !cache.isBehind)
  await until(() => shares(cache))
})

t.test('a Redis that is frozen', async (t) => {
  const server = await ownRedis(t)
  const { cache, log } = await open(t, server, BRIEF)
  await cache.set('key', 'value', HOUR)
  server.freeze()
  t.equal(cache.peek('key')?.text, '"value"')
  const began = performance.now()
  t.equal(await cache.getOrSet('cold', () => 1, HOUR), 1)
  t.ok(performance.now() - began < 3 * BRIEF.commandTimeout, 'one call waits for the timeout')
  const longest = await useAll(t, cache)
  t.ok(longest < BRIEF.commandTimeout, `the others do not: ${longest} ms`)
  await until(() => log.lines.length > 0)
  server.goOn()
  const returned = performance.now()
  await until(() => shares(cache))
  const took = performance.now() - returned
  t.ok(took < 30_000, `back after ${took} ms`)
  t.equal(await cache.getOrSet('cold', () => 2, HOUR), 2, 'it was cleared meanwhile')
  t.strictSame(log.lines, [
    'warn The cache goes on without Redis',
    'info The cache uses Redis again',
  ])
})

t.test('a process that stands still while it asks Redis', async (t) => {
  const { cache, log } = await open(t, await ownRedis(t), { maxBytes: 0, commandTimeout: 1000 })
  // Until here Redis may be late itself.
  await until(async () => {
    await cache.set('key', 1, HOUR)
    return (await cache.get('key')) === 1
  })
  const [errors, told] = [cache.counts.errors, [...log.lines]]
  const read = cache.get('key')
  // It is sent when what comes before has been looked at, which waits for nothing.
  for (let step = 0; step < 50; step++) await undefined
  // Less than the five seconds of silence after which nothing counts that was stored.
  block(2000)
  t.equal(await read, 1, 'its time has begun when it was sent')
  t.equal(cache.counts.errors, errors)
  t.strictSame(log.lines, told)
})

t.test('a load that outlasts an outage', async (t) => {
  const server = await ownRedis(t)
  const { cache, client } = await open(t, server, LASTING)
  const held = () => client.exists('{plinth}:l:key')
  const gate = createGate<string>()
  const begun = createGate()
  const load = () => {
    begun.open()
    return gate.opened
  }
  const loading = cache.getOrSet('key', load, HOUR)
  await begun.opened
  t.equal(await held(), 1)
  await server.kill()
  gate.open('value')
  t.equal(await loading, 'value')
  await server.restart()
  await until(async () => (await cache.stats()).redis !== null)
  t.equal(await held(), 0, 'nobody waits for the one that had loaded')
  const { cache: other } = await open(t, server, LASTING)
  t.equal(await other.getOrSet('key', () => 'anew', HOUR), 'anew')
})

t.test('a Redis that is full', async (t) => {
  const server = await ownRedis(t)
  const { cache, client, log } = await open(t, server, LASTING)
  await cache.set('before', 'old', { ...HOUR, tags: ['tag'] })
  await client.config('SET', 'maxmemory', '1')
  const longest = await useAll(t, cache)
  t.ok(longest < LASTING.commandTimeout, `${longest} ms`)
  t.equal(await cache.getOrSet('new', () => 1, HOUR), 1)
  t.equal(cache.peek('new')?.text, '1')
  await client.config('SET', 'maxmemory', '0')
  await until(() => shares(cache))
  const { cache: other } = await open(t, server, LASTING)
  t.equal(await other.get('before'), undefined, 'what was invalidated has gone all the same')
  t.strictSame(log.lines, [
    'warn Redis refuses what the cache asks for',
    'info Redis does what the cache asks for again',
  ])
  t.ok(cache.counts.errors > 0)
})

t.test('a Redis that is not there at first', async (t) => {
  const server = await ownRedis(t, { started: false })
  const { cache, log } = await open(t, server, LASTING)
  t.ok((await useAll(t, cache)) < LASTING.commandTimeout)
  await cache.set('key', 'here', HOUR)
  await server.restart()
  await until(() => shares(cache))
  t.equal(cache.peek('key')?.text, undefined)
  t.equal(await cache.getOrSet('key', () => 'shared', HOUR), 'shared')
  const { cache: other } = await open(t, server, LASTING)
  t.equal(await other.get('key'), 'shared')
  t.equal(log.lines.length, 2)
})

t.test('a lock is lost when Redis is away for longer than its time', async (t) => {
  const server = await ownRedis(t)
  const { cache } = await open(t, server, LASTING)
  const lock = await cache.lock('job', { ttl: 500 })
  const lasting = await cache.lock('other', { ttl: 30_000 })
  await server.kill()
  const began = performance.now()
  await until(() => lock.signal.aborted)
  t.ok(performance.now() - began < 5000)
  t.match(lock.signal.reason, { message: 'The lock job is lost: it could not be renewed in time' })
  t.equal(lasting.signal.aborted, false)
  await lock.release()
  await lasting.release()
})

t.test('who waits for a lock waits for a Redis that is late', async (t) => {
  const server = await ownRedis(t)
  const { cache, client, log } = await open(t, server, BRIEF)
  await (await cache.lock('first', { ttl: 60_000 })).release()
  server.freeze()
  const names = ['first', 'second', 'third']
  const early = names.map((name) => cache.lock(name, { ttl: 60_000, wait: 30_000 }))
  await until(() => cache.counts.errors > 0)
  const later = ['fourth', 'fifth'].map((name) => cache.lock(name, { ttl: 60_000, wait: 30_000 }))
  // Now it does what it was asked.
  server.goOn()
  const locks = await Promise.all([...early, ...later])
  t.equal((await client.keys('{plinth}:lock:*')).length, locks.length)
  for (const lock of locks) await lock.release()
  t.strictSame(await client.keys('{plinth}:lock:*'), [], 'none is kept that nobody has')
  t.strictSame(log.lines, [])
})

t.test('and for one that is away for a moment, in which it is asked more than once', async (t) => {
  const server = await ownRedis(t)
  const { cache, log } = await open(t, server, { commandTimeout: 150 })
  await (await cache.lock('job', { ttl: 60_000, wait: 30_000 })).release()
  server.freeze()
  const early = Array.from({ length: 100 }, () => cache.lock('job', { ttl: 60_000, wait: 30_000 }))
  // It has not answered when it was asked whether it is there.
  await until(() => log.lines.length > 0)
  server.goOn()
  for (const lock of early) await (await lock).release()
})

t.test('what Redis gave too late is given back', async (t) => {
  const server = await ownRedis(t)
  const { cache } = await open(t, server, BRIEF)
  await (await cache.lock('job', { ttl: 60_000 })).release()
  server.freeze()
  const refused = t.rejects(cache.lock('job', { ttl: 60_000 }), { code: 'CACHE_UNAVAILABLE' })
  await until(() => cache.counts.errors > 0)
  server.goOn()
  await refused
  await until(async () => (await cache.stats()).redis !== null)
  const lock = await cache.lock('job', { ttl: 60_000 })
  await lock.release()
})

/** A lock that is held when Redis no longer answers. */
async function holdWhileAway(t: Test) {
  const server = await ownRedis(t)
  const { cache, log } = await open(t, server, BRIEF)
  const lock = await cache.lock('job', { ttl: 60_000, wait: 30_000 })
  server.freeze()
  await cache.get('anything')
  await until(() => log.lines.length > 0)
  const comeBack = async () => {
    server.goOn()
    await until(async () => (await cache.stats()).redis !== null)
  }
  return { cache, lock, comeBack }
}

t.test('what is given back while Redis is away is free when it is there again', async (t) => {
  const { cache, lock, comeBack } = await holdWhileAway(t)
  await lock.release()
  await comeBack()
  await (await cache.lock('job', { ttl: 60_000, wait: 5000 })).release()
})

t.test('and however many have asked for locks meanwhile', async (t) => {
  const { cache, lock, comeBack } = await holdWhileAway(t)
  const ask = async (_: unknown, n: number) =>
    await t.rejects(cache.lock(`other ${n}`, { ttl: 60_000 }), { code: 'CACHE_UNAVAILABLE' })
  await Promise.all(Array.from({ length: 1001 }, ask))
  await lock.release()
  await comeBack()
  await (await cache.lock('job', { ttl: 60_000, wait: 5000 })).release()
})

t.test('nobody waits for a lock of a Redis that does not answer', async (t) => {
  const server = await ownRedis(t)
  const { cache } = await open(t, server)
  await cache.set('key', 1, HOUR)
  server.freeze()
  const began = performance.now()
  const refused = { code: 'CACHE_UNAVAILABLE' }
  const lock = (name: string) => cache.lock(name, { ttl: 1000, wait: 30_000 })
  await Promise.all(['a', 'b', 'c'].map((name) => t.rejects(lock(name), refused)))
  t.ok(performance.now() - began < 15_000)
  await t.rejects(lock('d'), refused)
  server.goOn()
})

t.test('serves the old when source and Redis are away', async (t) => {
  const server = await ownRedis(t)
  const { cache } = await open(t, server)
  await cache.set('key', 'old', { ttl: 50, stale: 60_000 })
  await until(() => cache.peek('key')?.text === undefined)
  await server.kill()
  await cache.get('anything')
  const load = () => {
    throw new Error('the source is away')
  }
  for (let n = 0; n < 20; n++) t.equal(await cache.getOrSet('key', load, HOUR), 'old')
  t.equal(cache.counts.failures, 1)
})
