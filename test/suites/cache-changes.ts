import type { Test } from 'tap'
import type { Cache } from '../../src/cache/types.ts'
import { createGate } from '../helpers/app.ts'
import { type CacheDriver, textOf } from './cache-fixture.ts'

const HOUR = { ttl: 3_600_000 }

/** What takes entries away, and what it does to those that are being loaded. */
export async function cacheChanges(t: Test, driver: CacheDriver): Promise<void> {
  await t.test('invalidates by tag', async (t) => {
    const cache = await driver.open(t)
    await cache.set('a', 1, { ...HOUR, tags: ['x', 'y'] })
    await cache.getOrSet('b', () => 2, { ...HOUR, tags: ['y'] })
    await textOf(cache, 'c', async () => '3', { ...HOUR, tags: ['z'] })
    await cache.invalidate('x', 'never used')
    await cache.invalidate()
    const all = () => Promise.all(['a', 'b', 'c'].map((key) => cache.get(key)))
    t.strictSame(await all(), [undefined, 2, 3])
    await cache.invalidate('y')
    t.strictSame(await all(), [undefined, undefined, 3])
  })

  await t.test('invalidates many at once', async (t) => {
    const cache = await driver.open(t)
    const keys = Array.from({ length: 1200 }, (_, n) => `n:${n}`)
    await Promise.all(keys.map((key) => cache.set(key, key, { ...HOUR, tags: ['all'] })))
    await cache.invalidate('other', 'all')
    const left = await Promise.all(keys.map((key) => cache.get(key)))
    t.strictSame(
      left.filter((value) => value !== undefined),
      [],
    )
  })

  await t.test('clears by the beginning of keys, and says how many', async (t) => {
    const cache = await driver.open(t)
    const long = 'long:'.padEnd(200, '.')
    const keys = ['a:1', 'a:2', 'a*:1', 'ü:1', 'ü:2', `${long}1`, `${long}2`, 'a~1', 'a~2']
    const fill = () => Promise.all(keys.map((key) => cache.set(key, key, HOUR)))
    const left = async () => {
      const values = await Promise.all(keys.map((key) => cache.get(key)))
      return values.filter((value) => value !== undefined)
    }
    for (const prefix of [
      'a',
      'a:',
      'a*',
      'a?',
      'ü',
      'ü:2',
      'long',
      `${long}1`,
      'a~',
      'b',
      '\\',
      '',
    ]) {
      await fill()
      const gone = keys.filter((key) => key.startsWith(prefix))
      t.equal(await cache.clear(prefix), gone.length, prefix)
      t.strictSame(
        await left(),
        keys.filter((key) => !gone.includes(key)),
        prefix,
      )
    }
    await fill()
    t.equal(await cache.clear(), keys.length)
  })

  const changes: Record<string, (cache: Cache) => Promise<unknown>> = {
    invalidate: (cache) => cache.invalidate('tag'),
    delete: (cache) => cache.delete('key'),
    'clear all': (cache) => cache.clear(),
    'clear by prefix': (cache) => cache.clear('ke'),
    set: (cache) => cache.set('key', 'set', HOUR),
    refresh: (cache) => cache.refresh('key', async () => '"set"', HOUR),
  }
  for (const [name, change] of Object.entries(changes)) {
    await t.test(`does not store what was being loaded before: ${name}`, async (t) => {
      const cache = await driver.open(t)
      await cache.get('key')
      const begun = createGate()
      const gate = createGate<string>()
      const options = { ...HOUR, tags: ['tag'] }
      const loading = cache.getOrSet(
        'key',
        async () => {
          begun.open()
          return await gate.opened
        },
        options,
      )
      await begun.opened
      await change(cache)
      const there = name === 'set' || name === 'refresh' ? 'set' : 'new'
      const later = cache.getOrSet('key', () => 'new', options)
      t.equal(await later, there, 'who comes later does not wait for it')
      gate.open('old')
      t.equal(await loading, 'old', 'who asked before gets it')
      t.equal(await cache.get('key'), there)
      t.equal(await cache.getOrSet('key', () => t.fail('it is stored'), options), there)
    })
  }

  await t.test('leaves alone what is being loaded and not meant', async (t) => {
    const cache = await driver.open(t)
    const begun = createGate()
    const gate = createGate<string>()
    const load = () => {
      begun.open()
      return gate.opened
    }
    const loading = cache.getOrSet('key', load, { ...HOUR, tags: ['tag'] })
    await begun.opened
    await Promise.all([cache.invalidate('other'), cache.delete('other'), cache.set('o', 1, HOUR)])
    gate.open('value')
    await loading
    t.equal(cache.peek('key')?.text, '"value"')
  })

  await t.test('refresh loads whatever there is, each by itself', async (t) => {
    const cache = await driver.open(t)
    let loads = 0
    const load = async () => `${++loads}`
    t.equal(await textOf(cache, 'key', load, HOUR), '1')
    t.match(await cache.refresh('key', load, HOUR), { text: '2' })
    t.equal(await textOf(cache, 'key', load, HOUR), '2')
    const both = await Promise.all([1, 2].map(() => cache.refresh('key', load, HOUR)))
    t.strictSame(both.map(({ text }) => text).sort(), ['3', '4'])
    t.equal(await textOf(cache, 'key', load, HOUR), '4')
    const broken = async () => {
      throw new Error('the source is away')
    }
    await t.rejects(cache.refresh('key', broken, HOUR), { message: 'the source is away' })
    t.equal(await textOf(cache, 'key', load, HOUR), '4', 'what there was is still there')
  })
}
