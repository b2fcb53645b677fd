import t from 'tap'
import { Locks } from '../../src/cache/lock.ts'
import { passTime } from '../helpers/pass-time.ts'
import { cacheDrivers } from '../suites/cache-fixture.ts'

const HOUR = 3_600_000

for (const driver of cacheDrivers) {
  for (const [where, by] of Object.entries({ forth: HOUR, back: -HOUR })) {
    t.test(`${driver.name}: the clock is set ${where}, and what is cached lives on`, async (t) => {
      const set = passTime(t, [Date])
      const pass = passTime(t)
      const cache = await driver.open(t)
      let loads = 0
      const read = () => cache.getOrSet('key', () => ++loads, { ttl: '100s' })
      t.equal(await read(), 1)
      set(by)
      t.equal(await read(), 1)
      // What Redis has ends by its own clock.
      if (driver.name === 'redis') return
      pass(101_000)
      t.equal(await read(), 2)
    })
  }

  t.test(`${driver.name}: the clock is set, and locks are waited for as long`, async (t) => {
    const set = passTime(t, [Date])
    const cache = await driver.open(t)
    const lock = await cache.lock('job', { ttl: '5s' })
    const short = cache.lock('job', { ttl: '5s', wait: 100 })
    set(-HOUR)
    await t.rejects(short, { code: 'LOCK_HELD' })
    const long = cache.lock('job', { ttl: '5s', wait: '1m' })
    set(2 * HOUR)
    await t.rejects(cache.lock('job', { ttl: '5s', wait: 100 }), { code: 'LOCK_HELD' })
    await lock.release()
    await (await long).release()
    t.equal(lock.signal.aborted, false)
  })
}

t.test('a lock that has run out before its process reads of it is no lock', async (t) => {
  const pass = passTime(t)
  const freed: string[] = []
  let [taken, late] = [0, '']
  const locks = new Locks({
    expires: true,
    async take(_, token, life) {
      if (++taken > 1) return taken
      late = token
      pass(life)
      return taken
    },
    renew: async () => true,
    free: async (_, token) => void freed.push(token),
    hasJustGone: false,
  })
  const lock = await locks.acquire('job', { ttl: '2s' })
  t.strictSame([lock.fence, lock.signal.aborted], [2, false])
  t.strictSame(freed, [late])
  await lock.release()
})
