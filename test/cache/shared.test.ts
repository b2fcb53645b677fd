import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { encode, MemoryLevel, toItem } from '../../src/cache/entries.ts'
import { Loader } from '../../src/cache/loader.ts'
import type { RedisLevel } from '../../src/cache/redis-level.ts'
import type { Cache, CacheCounts } from '../../src/cache/types.ts'
import { createGate } from '../helpers/app.ts'
import { block } from '../helpers/block.ts'
import { redisUrl } from '../helpers/drivers.ts'
import { ownRedis } from '../helpers/own-redis.ts'
import { connect, openOn, until } from '../suites/cache-fixture.ts'

const HOUR = { ttl: 3_600_000 }

/** As many caches as there would be processes, on one Redis. */
async function openSome(t: Test, number: number) {
  const prefix = randomUUID()
  const redis = await connect(t, redisUrl())
  const caches: Cache[] = []
  for (let n = 0; n < number; n++)
    caches.push(await openOn(await connect(t, redisUrl()), t, { prefix }))
  // The first use connects them.
  await Promise.all(caches.map((cache) => cache.get('first')))
  return { redis, base: `{${prefix}}:`, caches: caches as [Cache, Cache, Cache, Cache] }
}

t.test('what one process changes the others forget', async (t) => {
  const { caches } = await openSome(t, 3)
  const [a] = caches
  const options = { ...HOUR, tags: ['tag'] }
  const changes: [string, (key: string) => Promise<unknown>][] = [
    ['set', (key) => a.set(key, 'new', options)],
    ['refresh', (key) => a.refresh(key, async () => '"new"', options)],
    ['delete', (key) => a.delete('other', key)],
    ['invalidate', () => a.invalidate('other', 'tag')],
    ['clear', () => a.clear()],
    ['clear by prefix', () => a.clear('key:clear')],
  ]
  for (const [name, change] of changes) {
    const key = `key:${name}`
    for (const cache of caches) await cache.getOrSet(key, () => 'old', options)
    t.strictSame(
      caches.map((cache) => cache.peek(key)?.text),
      Array(3).fill('"old"'),
      name,
    )
    await change(key)
    await until(() => caches.slice(1).every((cache) => cache.peek(key)?.text === undefined))
    const there = name === 'set' || name === 'refresh' ? 'new' : undefined
    for (const cache of caches) t.equal(await cache.get(key), there, name)
  }
})

t.test(
  'what another process has stored is not kept where it was invalidated meanwhile',
  async (t) => {
    const memory = new MemoryLevel({ maxEntries: 10, maxBytes: 10_000 })
    const stored = toItem('"old"', { ...HOUR, tags: ['tag'] })
    const redis: Pick<RedisLevel, 'trusted' | 'read' | 'acquire'> = {
      trusted: true,
      read: async () => undefined,
      async acquire() {
        loader.forget(['tag', 'tag'])
        return stored
      },
    }
    const loader = new Loader(memory, redis as RedisLevel, {} as CacheCounts)
    // Which tags it has is known only when it is there.
    t.match(await loader.find('key', async () => '"new"', HOUR), { text: '"old"' })
    t.equal(memory.get('key'), undefined)
  },
)

t.test('loads once for all processes', async (t) => {
  const { caches } = await openSome(t, 4)
  const gate = createGate()
  let loads = 0
  const load = async () => {
    loads++
    await gate.opened
    return 'value'
  }
  const asked = caches.flatMap((cache) =>
    Array.from({ length: 50 }, () => cache.getOrSet('key', load, HOUR)),
  )
  await until(() => loads > 0)
  gate.open()
  t.strictSame(new Set(await Promise.all(asked)), new Set(['value']))
  t.equal(loads, 1)
})

t.test(
  'does not store in any process what was being loaded before a change elsewhere',
  async (t) => {
    const { caches } = await openSome(t, 2)
    const [a, b] = caches
    const options = { ...HOUR, tags: ['tag'] }
    const changes: Record<string, () => Promise<unknown>> = {
      invalidate: () => b.invalidate('tag'),
      delete: () => b.delete('key'),
      clear: () => b.clear('key'),
      set: () => b.set('key', 'new', options),
      refresh: () => b.refresh('key', async () => '"new"', options),
    }
    for (const [name, change] of Object.entries(changes)) {
      await a.clear()
      const begun = createGate()
      const gate = createGate<string>()
      const load = () => {
        begun.open()
        return gate.opened
      }
      const loading = a.getOrSet('key', load, options)
      await begun.opened
      await change()
      const later = b.getOrSet('key', () => 'new', options)
      t.equal(await Promise.race([later, pause(10_000)]), 'new', `${name}: nobody waits for it`)
      gate.open('old')
      t.equal(await loading, 'old')
      for (const cache of caches) t.equal(await cache.get('key'), 'new', name)
    }
  },
)

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds).unref())

t.test('another process goes on when the one that loads has died', async (t) => {
  const { caches, redis, base } = await openSome(t, 1)
  // Before it is set: its time runs from then.
  const began = performance.now()
  await redis.set(`${base}l:key`, 'token:0', 'PX', 200)
  t.equal(await caches[0].getOrSet('key', () => 'value', HOUR), 'value')
  const took = performance.now() - began
  t.ok(took > 150 && took < 30_000, `${took} ms`)
})

t.test('another process goes on at once when the load of the first has failed', async (t) => {
  const { caches } = await openSome(t, 2)
  const begun = createGate()
  const gate = createGate()
  const failing = caches[0].getOrSet(
    'key',
    async () => {
      begun.open()
      await gate.opened
      throw new Error('the source is away')
    },
    HOUR,
  )
  await begun.opened
  const other = caches[1].getOrSet('key', () => 'value', HOUR)
  gate.open()
  await t.rejects(failing, { message: 'the source is away' })
  t.equal(await other, 'value')
})

t.test('a load that takes long keeps its right to store', async (t) => {
  const { caches, redis, base } = await openSome(t, 2)
  const gate = createGate<string>()
  const loading = caches[0].getOrSet('key', () => gate.opened, { ...HOUR, tags: ['tag'] })
  await until(() => redis.exists(`${base}l:key`))
  const heldUntil = async () => Number.parseInt((await redis.get(`${base}l:key`)) ?? '', 10)
  const first = await heldUntil()
  await until(async () => (await heldUntil()) > first)
  gate.open('value')
  await loading
  t.equal(await caches[1].get('key'), 'value')
  t.equal(await redis.exists(`${base}l:key`), 0)
})

t.test('another process goes on when the load of the first hangs', async (t) => {
  const { caches } = await openSome(t, 2)
  const begun = createGate()
  const hung = caches[0].getOrSet(
    'key',
    () => {
      begun.open()
      return new Promise<never>(() => {})
    },
    { ...HOUR, loadTimeout: 100 },
  )
  const late = t.rejects(hung, { code: 'DEADLINE_EXCEEDED' })
  await begun.opened
  t.equal(await caches[1].getOrSet('key', () => 'value', HOUR), 'value')
  await late
})

t.test('a load that has held its process up for long is stored all the same', async (t) => {
  const { caches } = await openSome(t, 2)
  const load = () => {
    block(2300)
    return 'value'
  }
  await caches[0].getOrSet('key', load, { ...HOUR, tags: ['tag'] })
  t.equal(await caches[1].get('key'), 'value')
  await caches[1].invalidate('tag')
  await until(async () => (await caches[0].get('key')) === undefined)
})

t.test('what is loaded under a lease that another process has taken is not stored', async (t) => {
  const { caches, redis, base } = await openSome(t, 2)
  const gate = createGate<string>()
  const loading = caches[0].getOrSet('key', () => gate.opened, HOUR)
  await until(() => redis.exists(`${base}l:key`))
  const held = (await redis.get(`${base}l:key`)) ?? ''
  // As if the first had been held up for longer than it may; it does not prolong what is not its own.
  await redis.set(`${base}l:key`, held.replace(/^\d+:[^:]*/, '1:another'), 'PX', 60_000)
  t.equal(await caches[1].getOrSet('key', () => 'second', HOUR), 'second')
  gate.open('first')
  t.equal(await loading, 'first', 'who has waited for it gets it')
  t.equal(await caches[1].get('key'), 'second')
  t.equal(await redis.exists(`${base}l:key`), 0)
})

t.test('one process loads anew while all serve the old', async (t) => {
  const { caches } = await openSome(t, 4)
  await caches[0].set('key', 'old', { ttl: 50, stale: 60_000 })
  await until(async () => (await caches[0].get('key')) === undefined)
  const gate = createGate<string>()
  let loads = 0
  const load = async () => {
    loads++
    return await gate.opened
  }
  const ask = () =>
    Promise.all(caches.map((cache) => cache.getOrSet('key', load, { ttl: 60_000, stale: 60_000 })))
  const began = performance.now()
  t.strictSame(await ask(), Array(4).fill('old'))
  await until(() => loads > 0)
  t.strictSame(await ask(), Array(4).fill('old'))
  gate.open('new')
  await until(async () => (await ask()).every((value) => value === 'new'))
  const took = performance.now() - began
  // It is taken over after two seconds without a sign of life.
  t.ok(loads <= 1 + took / 1900, `${loads} within ${took} ms`)
})

t.test('a source that fails is not tried by every process', async (t) => {
  const { caches } = await openSome(t, 4)
  await caches[0].set('key', 'old', { ttl: 50, stale: 60_000 })
  await until(async () => (await caches[0].get('key')) === undefined)
  let loads = 0
  const load = async () => {
    loads++
    throw new Error('the source is away')
  }
  const began = performance.now()
  for (let n = 0; n < 10; n++) {
    for (const cache of caches) t.equal(await cache.getOrSet('key', load, HOUR), 'old')
    await new Promise(setImmediate)
  }
  await until(() => caches.some(({ counts }) => counts.failures > 0))
  const took = performance.now() - began
  // It is tried again after two seconds.
  t.ok(loads <= 1 + took / 1900, `${loads} within ${took} ms`)
})

t.test('what is no entry is a miss, and counted', async (t) => {
  const { caches, redis, base } = await openSome(t, 1)
  const [cache] = caches
  const now = performance.now()
  const item = { text: '1', tags: [], stored: now, fresh: now + 1e6, until: now + 1e6 }
  const state = await redis.hget(`${base}state`, 'epoch')
  const other = Buffer.concat([Buffer.from(`${state}\n`), encode('other', item, 0)])
  const poison: [string, () => Promise<unknown>][] = [
    ['random bytes', () => redis.set(`${base}c:key`, randomBytes(100))],
    ['no bytes', () => redis.set(`${base}c:key`, '')],
    ['text', () => redis.set(`${base}c:key`, '{"a":1}')],
    ['of another key', () => redis.set(`${base}c:key`, other)],
    ['a list', () => redis.rpush(`${base}c:key`, 'a')],
    ['a hash', () => redis.hset(`${base}c:key`, 'a', 'b')],
  ]
  for (const [name, poisoned] of poison) {
    await redis.del(`${base}c:key`)
    await poisoned()
    t.equal(await cache.get('key'), undefined, name)
    const { garbage } = cache.counts
    // What was no entry is taken away behind its answer: over by then, on the same connection.
    await cache.get('none')
    await redis.del(`${base}c:key`)
    await poisoned()
    t.equal(await cache.getOrSet('key', () => name, HOUR), name)
    t.equal(cache.counts.garbage, garbage + 1, name)
    await cache.clear()
    await redis.del(`${base}c:key`)
    await cache.getOrSet('key', () => name, HOUR)
    t.equal(await redis.type(`${base}c:key`), 'string', name)
    await cache.clear()
  }
  for (const poisoned of [
    () => redis.set(`${base}g:tag`, 'no generation'),
    () => redis.rpush(`${base}g:tag`, 'a'),
    () => redis.set(`${base}state`, 'no state'),
  ]) {
    await redis.del(`${base}g:tag`)
    if (`${poisoned}`.includes('state')) await redis.del(`${base}state`)
    await poisoned()
    await cache.getOrSet('key', () => 1, { ...HOUR, tags: ['tag'] })
    await cache.invalidate('tag')
    t.equal(await cache.get('key'), undefined)
  }
  t.equal(cache.counts.errors, 0)
})

t.test('what another release tells is taken as a change of anything', async (t) => {
  const { caches, redis, base } = await openSome(t, 1)
  for (const message of ['no JSON', 'null', '[]', '["other","some new kind","x"]']) {
    await caches[0].set('key', 1, HOUR)
    await until(async () => (await caches[0].get('key')) && caches[0].peek('key')?.text)
    await redis.publish(`${base}changes`, message)
    await until(() => caches[0].peek('key')?.text === undefined)
    t.equal(await caches[0].get('key'), 1)
  }
})

t.test('forgets level 1 when it may have missed a change', async (t) => {
  const { caches, redis, base } = await openSome(t, 1)
  const [cache] = caches
  await cache.set('key', 1, HOUR)
  t.equal(cache.peek('key')?.text, '1')
  const clients = String(await redis.call('CLIENT', 'LIST', 'TYPE', 'pubsub'))
  const mine = clients.split('\n').filter((line) => line.includes(` name=${base}changes `))
  t.equal(mine.length, 1)
  for (const line of mine)
    await redis.call('CLIENT', 'KILL', 'ID', /id=(\d+)/.exec(line)?.[1] as string)
  await until(() => cache.peek('key')?.text === undefined)
  await until(async () => (await cache.get('key')) === 1 && cache.peek('key')?.text !== undefined)
})

t.test(
  'is not taken for one that may have missed a change while Redis is late to let it hear',
  async (t) => {
    const client = await connect(t, redisUrl())
    const duplicate = client.duplicate.bind(client)
    const [first, later] = [createGate(), createGate()]
    let asked = 0
    client.duplicate = (...options) => {
      const bus = duplicate(...options)
      const send = bus.sendCommand.bind(bus)
      bus.sendCommand = async (command) => {
        const answer = await send(command)
        if (command.name === 'subscribe') await (asked++ === 0 ? first : later).opened
        return answer
      }
      return bus
    }
    const cache = await openOn(client, t, { prefix: randomUUID() })
    const none = cache.get('none')
    await until(() => asked >= 2)
    first.open()
    t.equal(await none, undefined)
    await until(async () => {
      await cache.getOrSet('key', () => 'value', HOUR)
      return cache.peek('key')?.text !== undefined
    })
    later.open()
    await delay(0)
    t.equal(cache.peek('key')?.text, '"value"')
  },
)

t.test('leaves nothing in Redis for ever', async (t) => {
  const { caches, redis, base } = await openSome(t, 1)
  const [cache] = caches
  for (let n = 0; n < 50; n++) {
    await cache.set(`short:${n}`, n, { ttl: 50, tags: [`tag:${n}`] })
  }
  await cache.getOrSet('loaded', () => 1, { ttl: 60_000, tags: ['other'] })
  await cache.set('long', 1, { ttl: 60_000, stale: 60_000, tags: ['tag'] })
  await cache.set('brief', 1, { ttl: 50, tags: ['tag'] })
  await until(async () => !(await redis.exists(`${base}g:tag:49`)))
  const [entry, tag] = await Promise.all(['c:long', 'g:tag'].map((name) => redis.pttl(base + name)))
  t.ok(entry && tag && entry > 100_000 && tag > entry - 100, `${entry} ${tag}`)
  await cache.invalidate('other')
  const names = await redis.keys(`${base.replace(/[{}]/g, '?')}*`)
  const lasting = []
  for (const name of names) if ((await redis.ttl(name)) === -1) lasting.push(name)
  t.strictSame(lasting, [])
})

t.test('what a result depends on may have been invalidated while it was loaded', async (t) => {
  const { caches } = await openSome(t, 2)
  const [a, b] = caches
  const options = { ...HOUR, tags: ({ id }: { id: number }) => [`item:${id}`] }
  await a.getOrSet('other', () => ({ id: 1 }), options)
  const begun = createGate()
  const gate = createGate<{ id: number }>()
  const load = () => {
    begun.open()
    return gate.opened
  }
  const loading = a.getOrSet('key', load, options)
  await begun.opened
  await b.invalidate('item:1')
  gate.open({ id: 1 })
  t.strictSame(await loading, { id: 1 })
  t.equal(await b.get('key'), undefined, 'and is not stored')
  await a.getOrSet('key', () => ({ id: 2 }), options)
  t.strictSame(await b.get('key'), { id: 2 })
  await b.invalidate('item:2')
  t.equal(await b.get('key'), undefined)
})

t.test('clears its own entries only', async (t) => {
  const { caches, redis, base } = await openSome(t, 1)
  const foreign = randomUUID()
  t.teardown(() => redis.del(foreign))
  await redis.set(foreign, 'foreign')
  await redis.mset(
    Object.fromEntries(Array.from({ length: 3000 }, (_, n) => [`${base}c:${n}`, 'x'])),
  )
  await caches[0].set('key', 1, HOUR)
  t.equal(await caches[0].clear(), 3001)
  t.equal(await redis.get(foreign), 'foreign')
})

t.test('tells the counts of all processes', async (t) => {
  const { caches } = await openSome(t, 2)
  const [a, b] = caches
  await a.getOrSet('key', () => 1, HOUR)
  await b.get('key')
  await b.close()
  const { counts } = await a.stats()
  t.match(counts, { misses: 3, hits_redis: 1, hits_memory: 0, failures: 0 }, 'with the first uses')
  t.match((await a.stats()).counts, counts, 'told twice is counted once')
})

t.test('a lock is lost when another may have it', async (t) => {
  const { caches, redis, base } = await openSome(t, 2)
  // Long enough for a busy machine to renew it: that it cannot is found out first.
  const lock = await caches[0].lock('job', { ttl: 9000 })
  await redis.del(`${base}lock:job`)
  const other = await caches[1].lock('job', { ttl: 30_000 })
  t.ok(other.fence > lock.fence)
  await until(() => lock.signal.aborted)
  t.match(lock.signal.reason, { message: 'The lock job is lost: another may hold it by now' })
  await lock.release()
  await t.rejects(caches[0].lock('job', { ttl: 1000 }), { code: 'LOCK_HELD' })
  await other.release()
})

t.test('of those of a process who wait for a lock one asks Redis', async (t) => {
  const server = await ownRedis(t)
  const redis = await connect(t, server.url)
  const cache = await openOn(await connect(t, server.url), t, {})
  const held = await cache.lock('job', { ttl: 30_000 })
  const asked = async () =>
    Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0)
  const before = await asked()
  const all = Array.from({ length: 500 }, async () => {
    const lock = await cache.lock('job', { ttl: 30_000, wait: 60_000 })
    await lock.release()
  })
  await until(async () => (await asked()) > before + 3)
  t.ok((await asked()) < before + 100, 'as many as one asks in that time')
  await held.release()
  await Promise.all(all)
  t.ok((await asked()) < before + 3 * all.length)
})

t.test('a process that hands a lock on within itself lets others have it, too', async (t) => {
  const { caches } = await openSome(t, 2)
  const [a, b] = caches
  const holders: string[] = []
  const work = async (cache: Cache, name: string) => {
    const lock = await cache.lock('job', { ttl: 30_000, wait: 60_000 })
    holders.push(name)
    await delay(10)
    await lock.release()
  }
  const many = Array.from({ length: 300 }, () => work(a, 'a'))
  await until(() => holders.length > 0)
  await Promise.all([...many, work(b, 'b')])
  t.equal(holders.length, 301)
  t.not(holders.at(-1), 'b', 'not when no other wants it any more')
})

t.test('the lock of a process that has died is free after its time', async (t) => {
  const { caches, redis, base } = await openSome(t, 1)
  await redis.set(`${base}lock:job`, 'of the dead', 'PX', 5000)
  await t.rejects(caches[0].lock('job', { ttl: 1000 }), { code: 'LOCK_HELD' })
  const lock = await caches[0].lock('job', { ttl: 30_000, wait: 30_000 })
  await redis.del(`${base}fence`)
  await lock.release()
  const next = await caches[0].lock('job', { ttl: 1000 })
  t.ok(next.fence > lock.fence, 'although Redis has forgotten')
  await next.release()
})

t.test('an app that caches nothing has no second connection', async (t) => {
  const redis = await connect(t, redisUrl())
  const made: string[] = []
  const duplicate = redis.duplicate.bind(redis)
  redis.duplicate = (...options) => {
    made.push('connection')
    return duplicate(...options)
  }
  const cache = await openOn(redis, t, { prefix: randomUUID() })
  t.equal(cache.peek('key')?.text, undefined)
  t.strictSame(made, [])
  await cache.get('key')
  t.strictSame(made, ['connection'])
})

t.test('a connection that puts something before each name', async (t) => {
  const redis = await connect(t, redisUrl())
  const [prefix, keyPrefix] = [randomUUID(), `${randomUUID()}:`]
  const caches: Cache[] = []
  for (const options of [{ keyPrefix }, { keyPrefix }, {}]) {
    const client = redis.duplicate(options)
    t.teardown(() => client.disconnect())
    await client.connect()
    caches.push(await openOn(client, t, { prefix }))
  }
  await caches[0]?.set('key', 1, HOUR)
  t.strictSame(await Promise.all(caches.map((cache) => cache.get('key'))), [1, 1, undefined])
})

t.test('refuses a prefix that is not usable', async (t) => {
  const redis = await connect(t, redisUrl())
  for (const prefix of ['', '{a}', 'a b', '*', 'ü']) {
    await t.rejects(openOn(redis, t, { prefix }), { name: 'TypeError', message: /prefix/ })
  }
})
