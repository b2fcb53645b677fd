import type { Test } from 'tap'
import { createGate } from '../helpers/app.ts'
import { type CacheDriver, textOf, until } from './cache-fixture.ts'

const SHORT = { ttl: 50, stale: 3_600_000 }

/** What is served when an entry is no longer fresh. */
export async function cacheStale(t: Test, driver: CacheDriver): Promise<void> {
  await t.test('serves the old at once, and loads the new once', async (t) => {
    const cache = await driver.open(t)
    await cache.set('key', 'old', SHORT)
    await until(() => cache.peek('key')?.text === undefined)
    const gate = createGate<string>()
    let loads = 0
    const load = async () => {
      loads++
      return await gate.opened
    }
    const ask = () => cache.getOrSet('key', load, { ...SHORT, ttl: 3_600_000 })
    t.strictSame(await Promise.all([ask(), ask(), ask()]), ['old', 'old', 'old'])
    t.equal(await ask(), 'old')
    t.equal(await cache.get('key'), undefined, 'only fresh ones are got')
    gate.open('new')
    await until(() => cache.peek('key')?.text === '"new"')
    t.equal(await ask(), 'new')
    t.equal(loads, 1)
    t.match(cache.counts, { stale: 4, failures: 0 })
  })

  await t.test('serves the old while the source fails, which is not hammered', async (t) => {
    const cache = await driver.open(t)
    await cache.set('key', 'old', SHORT)
    await until(() => cache.peek('key')?.text === undefined)
    let loads = 0
    const load = () => {
      loads++
      throw new Error('the source is away')
    }
    const began = performance.now()
    for (let n = 0; n < 50; n++) {
      t.equal(await cache.getOrSet('key', load, SHORT), 'old')
      await new Promise(setImmediate)
    }
    await until(() => loads > 0 && cache.counts.failures === loads)
    const seconds = (performance.now() - began) / 900
    t.ok(loads <= 1 + seconds, `${loads} loads`)
  })

  await t.test('fails as the source does when even the old has ended', async (t) => {
    const cache = await driver.open(t)
    const load = () => {
      throw new Error('the source is away')
    }
    await cache.set('key', 'old', { ttl: 20, stale: 5000 })
    const seen: unknown[] = []
    await until(async () => {
      const answer = await cache.getOrSet('key', load, SHORT).catch((error) => error)
      if (seen.at(-1) !== answer) seen.push(answer)
      return answer instanceof Error
    })
    t.match(seen, ['old', { message: 'the source is away' }])
    t.equal(seen.length, 2)
  })

  await t.test('tries a source that has failed again', async (t) => {
    const cache = await driver.open(t)
    await cache.set('key', 'old', SHORT)
    await until(() => cache.peek('key')?.text === undefined)
    let works = false
    const load = async () => {
      if (works) return 'new'
      works = true
      throw new Error('the source is away')
    }
    const began = performance.now()
    await until(
      async () => (await cache.getOrSet('key', load, { ttl: 60_000, stale: 60_000 })) === 'new',
    )
    const took = performance.now() - began
    t.ok(took > 900 && took < 30_000, `after ${took} ms`)
  })

  await t.test('keeps the old where the new is not to be stored', async (t) => {
    const cache = await driver.open(t)
    await cache.set('key', 'old', SHORT)
    await until(() => cache.peek('key')?.text === undefined)
    let loads = 0
    const load = async () => {
      loads++
      return undefined
    }
    t.equal(await textOf(cache, 'key', load, SHORT), '"old"')
    await until(() => loads === 1)
    t.equal(await textOf(cache, 'key', load, SHORT), '"old"')
  })

  await t.test(
    'who asks when the old has ended waits for what is loaded in the background',
    async (t) => {
      const cache = await driver.open(t)
      await cache.set('key', 'old', { ttl: 20, stale: 5000 })
      await until(() => cache.peek('key')?.text === undefined)
      const gate = createGate<string>()
      let loads = 0
      const load = async () => {
        loads++
        return await gate.opened
      }
      const ended = Date.now() + 5050
      t.equal(await cache.getOrSet('key', load, { ttl: 60_000 }), 'old')
      await until(() => loads === 1 && Date.now() > ended)
      const asked = [1, 2].map(() => cache.getOrSet('key', load, { ttl: 60_000 }))
      gate.open('new')
      t.strictSame(await Promise.all(asked), ['new', 'new'])
      t.equal(loads, 1)
    },
  )
}
