import type { Test } from 'tap'
import { createGate } from '../helpers/app.ts'
import { type CacheDriver, textOf, until } from './cache-fixture.ts'

const HOUR = { ttl: 3_600_000 }

/** What is stored, for how long, and how it is found. */
export async function cacheValues(t: Test, driver: CacheDriver): Promise<void> {
  await t.test('loads once for all who ask, and gives each a copy', async (t) => {
    const cache = await driver.open(t)
    const gate = createGate()
    let loads = 0
    const ask = () =>
      cache.getOrSet(
        'key',
        async () => {
          await gate.opened
          return { list: [++loads] }
        },
        HOUR,
      )
    const asked = Array.from({ length: 100 }, ask)
    gate.open()
    const values = await Promise.all([...asked, ask()])
    t.strictSame(values, Array(101).fill({ list: [1] }))
    t.equal(new Set(values).size, 101)
    t.equal(loads, 1)
    t.equal(cache.peek('key')?.text, '{"list":[1]}')
    t.strictSame(await cache.get('key'), { list: [1] })
    t.match(cache.counts, { misses: 101, hits_memory: 2, failures: 0, garbage: 0, errors: 0 })
  })

  await t.test('returns what JSON makes of a value, the first time, too', async (t) => {
    const cache = await driver.open(t)
    const load = () => ({ at: new Date(0), gone: undefined, list: [undefined, Number.NaN] })
    const wanted = { at: '1970-01-01T00:00:00.000Z', list: [null, null] }
    t.strictSame(await cache.getOrSet<unknown>('key', load, HOUR), wanted)
    t.strictSame(await cache.getOrSet<unknown>('key', load, HOUR), wanted)
  })

  await t.test('stores null and other empty values, but not undefined', async (t) => {
    const cache = await driver.open(t)
    for (const value of [null, false, 0, '', [], {}]) {
      const key = JSON.stringify(value)
      t.strictSame(await cache.getOrSet<unknown>(key, () => value, HOUR), value)
      t.strictSame(await cache.getOrSet<unknown>(key, () => t.fail('it is stored'), HOUR), value)
      t.strictSame(await cache.get(key), value)
    }
    t.equal(await cache.getOrSet('none', () => undefined, HOUR), undefined)
    t.equal(await cache.getOrSet<unknown>('none', () => 1, HOUR), 1)
  })

  await t.test('stores only what it is to', async (t) => {
    const cache = await driver.open(t)
    const when = (text: string) => text !== '[]'
    t.equal(await textOf(cache, 'key', async () => '[]', { ...HOUR, when }), '[]')
    t.equal(await cache.get('key'), undefined)
    t.equal(await textOf(cache, 'key', async () => '[1]', { ...HOUR, when }), '[1]')
    t.strictSame(await cache.get('key'), [1])
  })

  await t.test('forgets after the time, at most a tenth earlier', async (t) => {
    const cache = await driver.open(t)
    // Its connections are made by then.
    await cache.get('first')
    const began = performance.now()
    await cache.set('key', 1, { ttl: '5s' })
    t.equal(cache.peek('key')?.text, '1')
    await until(() => cache.peek('key')?.text === undefined)
    const lasted = performance.now() - began
    t.ok(lasted >= 4490 && lasted < 30_000, `${lasted} ms`)
    t.equal(await cache.get('key'), undefined)
    t.equal(await cache.getOrSet<unknown>('key', () => 2, HOUR), 2)
  })

  await t.test('time and tags may follow from the value', async (t) => {
    const cache = await driver.open(t)
    const options = {
      ttl: ({ id }: { id: number }) => (id === 1 ? 50 : '1h'),
      tags: ({ id }: { id: number }) => [`item:${id}`],
    } as const
    for (const id of [1, 2, 3]) await cache.getOrSet(`key:${id}`, () => ({ id }), options)
    await cache.set('key:4', { id: 4 }, options)
    const ids = async () => {
      const found = await Promise.all(
        [1, 2, 3, 4].map((id) => cache.get<{ id: number }>(`key:${id}`)),
      )
      return found.flatMap((one) => one?.id ?? [])
    }
    await until(async () => !(await ids()).includes(1))
    t.strictSame(await ids(), [2, 3, 4])
    await cache.invalidate('item:3', 'item:4')
    t.strictSame(await ids(), [2])
  })

  await t.test('what follows from a value may have been invalidated meanwhile', async (t) => {
    const cache = await driver.open(t)
    const begun = createGate()
    const gate = createGate<string>()
    const tags = (tag: string) => [tag]
    const loading = cache.getOrSet(
      'key',
      async () => {
        begun.open()
        return await gate.opened
      },
      { ...HOUR, tags },
    )
    await begun.opened
    await cache.invalidate('x')
    const later = cache.getOrSet('key', () => 'y', { ...HOUR, tags })
    gate.open('x')
    t.equal(await loading, 'x')
    t.equal(await later, 'y', 'who comes later does not get it')
    t.equal(await cache.get('key'), 'y')
  })

  await t.test('a namespace is a cache of its own', async (t) => {
    const cache = await driver.open(t)
    const [a, b] = [cache.namespace('a'), cache.namespace('b')]
    const inner = a.namespace('b')
    const all = [cache, a, b, inner]
    for (const [n, one] of all.entries()) await one.set('key', n, { ...HOUR, tags: ['tag'] })
    const found = () => Promise.all(all.map((one) => one.get('key')))
    t.strictSame(await found(), [0, 1, 2, 3])
    await b.invalidate('tag')
    t.strictSame(await found(), [0, 1, undefined, 3])
    t.equal(await b.getOrSet('key', () => 4, { ...HOUR, tags: () => ['tag'] }), 4)
    await b.invalidate('tag')
    t.strictSame(await found(), [0, 1, undefined, 3])
    t.equal(await a.clear(), 2)
    t.strictSame(await found(), [0, undefined, undefined, undefined])
    const lock = await a.lock('job', { ttl: 5000 })
    await (await b.lock('job', { ttl: 5000 })).release()
    await t.rejects(a.lock('job', { ttl: 5000 }), { code: 'LOCK_HELD' })
    await lock.release()
    t.strictSame([a.keeps, a.isBehind, a.isShared], [true, false, driver.name === 'redis'])
    await a.set('key', undefined, HOUR)
    await a.close()
    t.equal(await cache.get('key'), 0)
  })

  await t.test('gives an error to all who asked, and stores nothing', async (t) => {
    const cache = await driver.open(t)
    let loads = 0
    const load = async () => {
      loads++
      await new Promise(setImmediate)
      throw new Error('the source is away')
    }
    const asked = Array.from({ length: 10 }, () => cache.getOrSet('key', load, HOUR))
    for (const answer of await Promise.allSettled(asked)) {
      t.match(answer, { status: 'rejected', reason: { message: 'the source is away' } })
    }
    t.equal(loads, 1)
    t.equal(cache.counts.failures, 1)
    t.equal(await cache.getOrSet<unknown>('key', () => 'there', HOUR), 'there')
  })

  await t.test('stores, gets and deletes', async (t) => {
    const cache = await driver.open(t)
    const long = { text: 'x'.repeat(100_000), more: ['ü', '\u{1f600}', '\ud800'] }
    await cache.set('a', long, HOUR)
    await cache.set('b', 1, { ...HOUR, compress: false })
    await cache.set('b', long, { ...HOUR, compress: false })
    await cache.set('c', 3, HOUR)
    t.strictSame(await Promise.all(['a', 'b', 'c'].map((key) => cache.get(key))), [long, long, 3])
    await cache.delete('a', 'c', 'never there')
    await cache.delete()
    await cache.set('b', undefined, HOUR)
    t.strictSame(await Promise.all(['a', 'b', 'c'].map((key) => cache.get(key))), [
      undefined,
      undefined,
      undefined,
    ])
  })

  await t.test('takes keys and tags of any kind', async (t) => {
    const cache = await driver.open(t)
    const keys = [
      '',
      ' ',
      '__proto__',
      'a\0b',
      '\ud800',
      '\ud801',
      'ü'.repeat(500),
      'x'.repeat(128),
    ]
    keys.push('x'.repeat(129), 'x'.repeat(129).concat('y'), '{a}', 'a~b', '*', '?', '[a]', '\\')
    for (const [n, key] of keys.entries()) await cache.set(key, n, { ...HOUR, tags: [key] })
    const fresh = await Promise.all(keys.map((key) => cache.get(key)))
    t.strictSame(fresh, [...keys.keys()])
    for (const key of keys) {
      await cache.invalidate(key)
      t.equal(await cache.get(key), undefined)
    }
    t.equal((await cache.stats()).memory.entries, 0, 'each tag has taken its own entry away')
  })

  await t.test('refuses what is no JSON, and names the key', async (t) => {
    const cache = await driver.open(t)
    const itself: Record<string, unknown> = {}
    itself.itself = itself
    for (const value of [() => {}, Symbol('s'), 1n, itself, { a: [() => {}] }, [Symbol('s')]]) {
      const wanted = { name: 'TypeError', message: /cache key some:key is no JSON: / }
      await t.rejects(cache.set('some:key', value, HOUR), wanted)
      await t.rejects(
        cache.getOrSet('some:key', () => value, HOUR),
        wanted,
      )
    }
    t.equal(await cache.get('some:key'), undefined)
  })

  await t.test('refuses times that cannot be', async (t) => {
    const cache = await driver.open(t)
    const bad = [{ ttl: 0 }, { ttl: -1 }, { ttl: Number.NaN }, { ttl: Number.POSITIVE_INFINITY }]
    const load = () => t.fail('it was refused')
    for (const options of [...bad, { ttl: 1000, stale: -1 }, { ttl: 1000, stale: Number.NaN }]) {
      await t.rejects(cache.set('key', 1, options), { name: 'RangeError' })
      await t.rejects(cache.getOrSet('key', load, options), { name: 'RangeError' })
    }
  })

  await t.test('tells how much it holds', async (t) => {
    const cache = await driver.open(t)
    t.match(await cache.stats(), { counts: { misses: 0 }, memory: { entries: 0, bytes: 0 } })
    await cache.set('a', 'x'.repeat(5000), HOUR)
    await cache.getOrSet('b', () => 1, HOUR)
    await cache.get('b')
    const size = { entries: 2, bytes: Number }
    const redis = driver.name === 'redis' ? size : null
    const stats = await cache.stats()
    t.match(stats, { counts: { misses: 1, hits_memory: 1 }, memory: size, redis })
    t.ok(stats.memory.bytes > 5000 && stats.memory.bytes < 10_000)
  })

  await t.test('holds a bounded number of entries and bytes in memory', async (t) => {
    const cache = await driver.open(t, { maxEntries: 10, maxBytes: 10_000 })
    for (let n = 0; n < 20; n++) await cache.set(`n:${n}`, n, { ...HOUR, tags: [`t:${n}`] })
    t.strictSame([cache.peek('n:9')?.text, cache.peek('n:10')?.text], [undefined, '10'])
    await cache.set('large', 'x'.repeat(7000), HOUR)
    t.ok(cache.peek('large')?.text && (await cache.stats()).memory.bytes <= 10_000)
    await cache.set('huge', 'x'.repeat(20_000), { ...HOUR, tags: ['huge'] })
    t.equal(cache.peek('huge')?.text, undefined)
    await cache.invalidate('huge', 't:3', 't:19')
    t.equal(cache.peek('n:19')?.text, undefined)
  })

  await t.test('works on when it is closed', async (t) => {
    const cache = await driver.open(t)
    await cache.close()
    await cache.close()
    t.equal(await cache.getOrSet<unknown>('key', () => 1, HOUR), 1)
    await cache.invalidate('tag')
    t.type(await cache.clear(), 'number')
  })
}
