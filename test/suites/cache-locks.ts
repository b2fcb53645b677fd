import type { Test } from 'tap'
import type { CacheDriver } from './cache-fixture.ts'

/** Locks: one holder at a time. */
export async function cacheLocks(t: Test, driver: CacheDriver): Promise<void> {
  await t.test('a lock has one holder at a time, each with a greater fence', async (t) => {
    const cache = await driver.open(t)
    let holders = 0
    const fences: number[] = []
    const work = async () => {
      const lock = await cache.lock('job', { ttl: 5000, wait: 10_000 })
      t.equal(++holders, 1)
      fences.push(lock.fence)
      await new Promise(setImmediate)
      holders--
      // What `await using` does, which Node.js 22 does not know.
      await lock[Symbol.asyncDispose]()
    }
    await Promise.all(Array.from({ length: 5 }, work))
    t.equal(new Set(fences).size, 5)
    t.strictSame(
      fences,
      fences.toSorted((a, b) => a - b),
    )
  })

  await t.test('a lock that is held is refused, at once or after the wait', async (t) => {
    const cache = await driver.open(t)
    const lock = await cache.lock('job', { ttl: 5000 })
    t.match(lock, { name: 'job', signal: { aborted: false } })
    const held = { code: 'LOCK_HELD', statusCode: 409 }
    await t.rejects(cache.lock('job', { ttl: 5000 }), held)
    const began = performance.now()
    await t.rejects(cache.lock('job', { ttl: 5000, wait: 100 }), held)
    t.ok(performance.now() - began >= 95)
    await (await cache.lock('other', { ttl: 5000 })).release()
    await lock.release()
    const next = await cache.lock('job', { ttl: 5000 })
    await lock.release()
    await t.rejects(cache.lock('job', { ttl: 5000 }), held, 'given back twice is given back once')
    await next.release()
    t.equal(lock.signal.aborted, false)
  })

  await t.test('a living holder keeps its lock beyond the time', async (t) => {
    const cache = await driver.open(t)
    const lock = await cache.lock('job', { ttl: 6000 })
    await t.rejects(cache.lock('job', { ttl: 5000, wait: 8000 }), { code: 'LOCK_HELD' })
    t.equal(lock.signal.aborted, false)
    await lock.release()
  })

  await t.test('those who wait have it one after another, as they came', async (t) => {
    const cache = await driver.open(t)
    const first = await cache.lock('job', { ttl: 30_000 })
    const order: number[] = []
    const giveUp = new AbortController()
    const work = async (_: unknown, n: number) => {
      const signal = n % 10 === 3 ? giveUp.signal : undefined
      const wait = n % 10 === 5 ? 10 : 30_000
      const lock = await cache.lock('job', { ttl: 30_000, wait, ...(signal && { signal }) })
      order.push(n)
      await lock.release()
    }
    const all = Array.from({ length: 100 }, work)
    const ended = Promise.allSettled(all)
    const given = await Promise.allSettled(all.filter((_, n) => n % 10 === 5))
    t.strictSame(new Set(given.map(({ status }) => status)), new Set(['rejected']))
    giveUp.abort(new Error('enough'))
    await first.release()
    await ended
    t.strictSame(
      order,
      Array.from(all, (_, n) => n).filter((n) => n % 10 !== 3 && n % 10 !== 5),
    )
    await (await cache.lock('job', { ttl: 30_000 })).release()
  })

  await t.test('who waits may give up', async (t) => {
    const cache = await driver.open(t)
    const lock = await cache.lock('job', { ttl: 5000 })
    const giveUp = new AbortController()
    const waiting = cache.lock('job', { ttl: 5000, wait: 60_000, signal: giveUp.signal })
    giveUp.abort(new Error('enough'))
    await t.rejects(waiting, { message: 'enough' })
    await t.rejects(cache.lock('other', { ttl: 5000, signal: giveUp.signal }), {
      message: 'enough',
    })
    await lock.release()
  })

  await t.test('refuses times of locks that cannot be', async (t) => {
    const cache = await driver.open(t)
    for (const options of [
      { ttl: 0 },
      { ttl: Number.NaN },
      { ttl: 1000, wait: -1 },
      { ttl: 1_000_000_000_000 },
    ]) {
      await t.rejects(cache.lock('job', options), { name: 'RangeError' })
    }
  })
}
