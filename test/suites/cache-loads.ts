import { stat } from 'node:fs/promises'
import { setImmediate as turn } from 'node:timers/promises'
import type { Test } from 'tap'
import { createGate } from '../helpers/app.ts'
import { block } from '../helpers/block.ts'
import { type CacheDriver, until } from './cache-fixture.ts'

const HOUR = { ttl: 3_600_000 }

/** How long loads may take, and who waits for them. */
export async function cacheLoads(t: Test, driver: CacheDriver): Promise<void> {
  await t.test('a load that hangs fails in its time, and the next one begins', async (t) => {
    const cache = await driver.open(t)
    const hung = createGate<string>()
    const signals: AbortSignal[] = []
    const options = { ...HOUR, loadTimeout: 50, tags: ['tag'] }
    const load = (signal: AbortSignal) => {
      signals.push(signal)
      return signals.length === 1 ? hung.opened : 'second'
    }
    const late = { code: 'DEADLINE_EXCEEDED', message: /deadline of 50 ms/ }
    const asked = [1, 2, 3].map(() => t.rejects(cache.getOrSet('key', load, options), late))
    await Promise.all(asked)
    t.match(signals[0]?.reason, late)
    t.match(cache.counts, { failures: 1 })
    t.equal(await cache.getOrSet('key', load, options), 'second')
    hung.open('first')
    await new Promise(setImmediate)
    t.equal(await cache.get('key'), 'second', 'what comes too late is not stored')
    t.equal(signals[1]?.aborted, false)
  })

  await t.test('the same of one that is loaded anew, in the background too', async (t) => {
    const cache = await driver.open(t)
    const never = () => new Promise<never>(() => {})
    const options = { ttl: 20, stale: 3_600_000, loadTimeout: 50 }
    await t.rejects(cache.refresh('key', never, options), { code: 'DEADLINE_EXCEEDED' })
    await cache.set('key', 'old', options)
    await until(() => cache.peek('key')?.text === undefined)
    t.equal(await cache.getOrSet('key', never, options), 'old')
    await until(() => cache.counts.failures === 2)
    t.match(await cache.refresh('key', async () => '"new"', HOUR), { text: '"new"' })
  })

  await t.test('what has come while the process stood still is not late', async (t) => {
    const cache = await driver.open(t)
    const signals: AbortSignal[] = []
    const load = async (signal: AbortSignal) => {
      signals.push(signal)
      // Timers come next.
      await turn()
      const found = stat('.')
      block(1100)
      await found
      return 'value'
    }
    t.equal(await cache.getOrSet('key', load, { ...HOUR, loadTimeout: 1000 }), 'value')
    await turn()
    t.equal(signals[0]?.aborted, false)
  })

  await t.test('who waits gives up alone', async (t) => {
    const cache = await driver.open(t)
    const gate = createGate<string>()
    const load = () => gate.opened
    const controller = new AbortController()
    const { signal } = controller
    const patient = cache.getOrSet('key', load, HOUR)
    const leaving = t.rejects(cache.getOrSet('key', load, { ...HOUR, signal }), new Error('enough'))
    const first = t.rejects(cache.getOrSet('other', load, { ...HOUR, signal }), new Error('enough'))
    controller.abort(new Error('enough'))
    await Promise.all([leaving, first])
    await t.rejects(cache.getOrSet('third', load, { ...HOUR, signal }), new Error('enough'))
    gate.open('value')
    t.equal(await patient, 'value')
    await until(() => cache.peek('other')?.text === '"value"')
    t.equal(cache.peek('third')?.text, undefined)
  })

  await t.test('a call gives up in its time, and the load goes on for the others', async (t) => {
    const cache = await driver.open(t)
    const gate = createGate<string>()
    let loads = 0
    const load = () => {
      loads++
      return gate.opened
    }
    const patient = cache.getOrSet('key', load, HOUR)
    const late = { code: 'DEADLINE_EXCEEDED', message: /deadline of 50 ms/ }
    await t.rejects(cache.getOrSet('key', load, { ...HOUR, timeout: '50ms' }), late)
    gate.open('value')
    t.equal(await patient, 'value')
    t.equal(await cache.getOrSet('key', load, { ...HOUR, timeout: 50 }), 'value')
    t.equal(loads, 1)
  })

  await t.test('a stale value is served when the fresh one takes longer than it may', async (t) => {
    const cache = await driver.open(t)
    const old = { ttl: 20, stale: 3_600_000 }
    const ask = (load: () => Promise<string> | string) =>
      cache.getOrSet('key', load, { ...HOUR, softTimeout: '1m' })
    for (const [answer, loaded] of [
      ['new', () => 'new'],
      [
        'old',
        () => {
          throw new Error('the source is away')
        },
      ],
    ] as const) {
      await cache.set('key', 'old', old)
      await until(() => cache.peek('key') === undefined)
      t.equal(await ask(loaded), answer)
      await cache.clear()
    }
    await cache.set('other', 'old', old)
    await until(() => cache.peek('other') === undefined)
    const gate = createGate<string>()
    const how = { ...HOUR, softTimeout: 30 }
    t.equal(await cache.getOrSet('other', () => gate.opened, how), 'old')
    gate.open('new')
    await until(() => cache.peek('other')?.text === '"new"')
  })

  await t.test('the time of a load that fails at once is over with it', async (t) => {
    const cache = await driver.open(t)
    const options = { ...HOUR, loadTimeout: 20 }
    const signals: AbortSignal[] = []
    const fails = (signal: AbortSignal) => {
      signals.push(signal)
      throw new Error('at once')
    }
    await t.rejects(cache.find('key', fails, options), { message: 'at once' })
    const hangs = (signal: AbortSignal) => {
      signals.push(signal)
      return new Promise<string>(() => {})
    }
    await t.rejects(cache.find('key', hangs, options), { code: 'DEADLINE_EXCEEDED' })
    t.strictSame(
      signals.map(({ aborted }) => aborted),
      [false, true],
    )
  })

  await t.test('refuses a time that is none', async (t) => {
    const cache = await driver.open(t)
    for (const loadTimeout of [-1, Number.NaN, 86_400_001]) {
      const asked = cache.getOrSet('key', () => 1, { ...HOUR, loadTimeout })
      await t.rejects(asked, { name: 'RangeError', message: /loadTimeout/ })
    }
    for (const text of ['', '1', '1 s', '-1s', 's', '1w', '1e3ms', '0x1s']) {
      const asked = cache.getOrSet('key', () => 1, { ttl: text as never })
      await t.rejects(asked, { name: 'RangeError', message: /^ttl is .*; expected milliseconds/ })
    }
    t.equal(await cache.getOrSet('key', () => 1, { ...HOUR, loadTimeout: 0 }), 1)
  })
}
