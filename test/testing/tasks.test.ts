import t, { type Test } from 'tap'
import { testApp } from '../../src/testing/index.ts'
import { PATIENT_ENV, redisUrl } from '../helpers/drivers.ts'
import { addOrder, databases, root, type Shop, shop } from './shop/service.ts'

/** Runs `test` on every database, with tasks in memory and in Redis. */
function everywhere(name: string, test: (t: Test, app: Shop, hasRedis: boolean) => Promise<void>) {
  for (const [kind, database] of Object.entries(databases))
    for (const redis of [undefined, redisUrl()])
      t.test(`${name} (${kind}, ${redis ? 'Redis' : 'memory'})`, async (t) => {
        const options = {
          t,
          root,
          database,
          setUp: addOrder,
          env: PATIENT_ENV,
          ...(redis && { redis }),
        }
        await test(t, await testApp(shop, options), redis !== undefined)
      })
}

const stateOf = async ({ db }: Shop) =>
  (await db.selectFrom('shop_order').select('state').orderBy('id').execute()).map(
    ({ state }) => state,
  )

everywhere('what is enqueued is told, and runs when a test says so', async (t, app) => {
  const { ship, create } = app.resources.orders
  await t.rejects(app.tasks.enqueued(), /tasks\.fake/)
  await app.tasks.fake()
  t.strictSame(await app.tasks.enqueued(), [])
  const task = await app.as('ann').resources.orders.ship.enqueue({ id: 1 })
  await ship.enqueue({ id: 99 }, { key: 'once' })
  await ship.enqueue({ id: 99 }, { key: 'once' })
  await app.as('bob').send(create, { customer: 1, total: 8 })
  const invalid = app.as('bob').send(create, { customer: 77, total: 8 })
  t.not((await invalid).failure, null)
  t.match(await app.tasks.enqueued(), [
    { id: task.task_id, resource: 'orders.ship', input: { id: 1 }, user: 'ann', delay: 0 },
    { input: { id: 99 }, user: null, queue: 'default', delay: 0, state: 'waiting' },
    { input: { id: 2 }, user: 'bob', delay: /^\d+$/, state: 'delayed' },
  ])
  t.equal((await app.tasks.enqueued()).length, 3, 'nothing of what was rolled back')
  t.strictSame(await stateOf(app), ['new', 'new'])

  t.match(await app.tasks.drain(), [
    { id: task.task_id, state: 'succeeded', attempts: 1, result: { by: 'ann' }, failure: null },
    { input: { id: 99 }, state: 'failed', failure: { code: 'NOT_FOUND' } },
  ])
  t.strictSame(await stateOf(app), ['shipped', 'new'])
  t.strictSame(await task.result(), { by: 'ann' })
  t.strictSame(await app.tasks.drain(), [])
  await ship.enqueue({ id: 1 })
  t.equal((await app.tasks.enqueued()).at(-1)?.state, 'waiting', 'they are held again')

  await app.reset()
  t.strictSame(await stateOf(app), ['new'])
  await app.tasks.fake()
  t.strictSame(await app.tasks.enqueued(), [])
  await ship.enqueue({ id: 1 }, { key: 'once' })
  t.match(await app.tasks.drain(), [{ state: 'succeeded' }], 'the key of before is forgotten')
})

everywhere('without fake they run as in the service, and may be waited for', async (t, app) => {
  const { ship } = app.resources.orders
  await Promise.all([1, 1, 1].map((id) => ship.enqueue({ id })))
  const ran = await app.tasks.drain()
  t.strictSame(
    ran.map(({ state, result }) => [state, result]),
    Array(3).fill(['succeeded', { by: 'nobody' }]),
  )
})

everywhere('schedules follow the clock, and so does the date', async (t, app) => {
  await app.clock.set('2026-03-01T10:00:00Z')
  t.equal(app.clock.now(), Date.UTC(2026, 2, 1, 10))
  t.equal(new Date().toISOString(), '2026-03-01T10:00:00.000Z')
  t.ok(new Date() instanceof Date)
  await app.clock.advance(20 * 60_000)
  await app.tasks.drain()
  t.strictSame(await stateOf(app), ['new'])
  await app.clock.advance(20 * 60_000)
  t.match(await app.tasks.drain(), [{ resource: 'orders.expire', result: 1 }])
  t.equal((await stateOf(app)).length, 1)
  await app.reset()
  t.ok(Math.abs(Date.now() - Date.UTC(2026, 2, 1, 10)) > 60_000)
  t.strictSame(await stateOf(app), ['new'])
})

const memory = (t: Test) => testApp(shop, { t, root, setUp: addOrder })

t.test('in memory everything is done at its time', async (t) => {
  const app = await memory(t)
  await app.clock.set('2026-03-01T10:00:00Z')
  await app.clock.advance(40 * 60_000)
  t.strictSame(await stateOf(app), ['10:30'], 'the clock has stood at the time of the schedule')
  await app.as('ann').resources.orders.create({ customer: 1, total: 950 })
  await app.clock.advance(59_999)
  t.match(await app.tasks.drain(), [{ resource: 'orders.expire' }])
  await app.clock.advance(1)
  t.match(await app.tasks.drain(), [{ state: 'delayed', attempts: 1 }], 'the van is full')
  t.strictSame(await stateOf(app), ['10:30', 'new'])
  // Half of it is random.
  await app.clock.advance(60_000)
  t.match(await app.tasks.drain(), [{ state: 'succeeded', attempts: 2, result: { by: 'ann' } }])
  t.strictSame(await stateOf(app), ['10:30', 'shipped'])
})

t.test('of what comes at once, and while time passes, nothing is lost', async (t) => {
  const app = await memory(t)
  await app.clock.set('2026-03-01T10:00:00Z')
  const { ship } = app.resources.orders
  for (const delay of [3000, 1000, 2000, 1000]) await ship.enqueue({ id: 1 }, { delay })
  await app.clock.advance(2000)
  t.equal((await app.tasks.drain()).length, 3)
  await app.clock.advance(10 * 3_600_000)
  const ran = await app.tasks.drain()
  t.equal(ran.filter(({ resource }) => resource === 'orders.expire').length, 10)
  t.equal(ran.length, 11)
})

t.test('setting the time is no passing of it', async (t) => {
  const app = await memory(t)
  await app.resources.orders.ship.enqueue({ id: 1 }, { delay: 3_600_000 })
  await app.clock.set(new Date(Date.now() + 7_200_000))
  t.match(await app.tasks.drain(), [{ resource: 'orders.ship', state: 'succeeded' }])
  await t.rejects(app.clock.advance(-1), RangeError)
  await t.rejects(app.clock.set('yesterday'), RangeError)
})

t.test('what is cached ends by the clock', async (t) => {
  const app = await memory(t)
  const total = async () => (await app.inject('/orders/1')).json().data.total
  t.equal(await total(), 10)
  await app.db.updateTable('shop_order').set({ total: 20 }).execute()
  t.equal(await total(), 10)
  await app.clock.advance(61_000)
  t.equal(await total(), 20)
  await app.db.updateTable('shop_order').set({ total: 30 }).execute()
  await app.reset()
  t.equal(await total(), 10, 'nothing is cached any more')
})

t.test('a task that was delayed runs when the time is that of everybody again', async (t) => {
  const app = await memory(t)
  await app.clock.set(Date.now() - 1000)
  const task = await app.resources.orders.ship.enqueue({ id: 1 }, { delay: 20 })
  t.equal((await task.status()).state, 'delayed')
  const { clock } = app as unknown as { clock: { reset(): void } }
  clock.reset()
  t.strictSame(await task.result(), { by: 'nobody' })
})
