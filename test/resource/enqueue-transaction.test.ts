import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import database from '../../plugins/database.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { chain } from '../../src/resource/task-plan.ts'
import { newTaskId } from '../../src/task/id.ts'
import { createGate, failure } from '../helpers/app.ts'
import { databaseDrivers } from '../helpers/drivers.ts'
import { ownRedis } from '../helpers/own-redis.ts'
import { freePort } from '../servers/ready.ts'
import { until } from '../suites/task-fixture.ts'
import { type AttachedOptions, IMPATIENT, onEachStore, type Place, serve } from './attached.ts'

/** A resource that notes what it ran with. */
function noting() {
  const ran: string[] = []
  const note = defineResource({
    summary: 'Note',
    request: Type.Object({ text: Type.String() }),
    response: Type.String(),
    async perform({ text }, { task }) {
      const before = (await task?.childResults()) as string[]
      ran.push([...before, text].join('>'))
      return [...before, text].join('>')
    },
  })
  return { ran, note }
}

async function create(t: Test, { driver, ...attached }: Place, options: AttachedOptions = {}) {
  const { ran, note } = noting()
  const place = await driver.url(t)
  const app = await serve(
    t,
    attached,
    { note },
    {
      ...options,
      plugin: (app) => void app.register(database, { url: place }),
    },
  )
  const within = <T>(work: () => Promise<T>) =>
    app.run(() => app.db.transaction().execute(async () => await work()))
  return { app, note, ran, within }
}

onEachStore(t, 'what is unique has an id that is real, in a transaction too', async (t, place) => {
  const { app, note, within } = await create(t, place)
  const unique = { unique: true, delay: 60_000 }
  const first = await app.run(() => note.enqueue({ text: 'a' }, unique))
  const [second, third] = await within(() =>
    Promise.all([note.enqueue({ text: 'a' }, unique), note.enqueue({ text: 'b' }, unique)]),
  )
  await until(async () => (await app.tasks.find(second.task_id)).id === first.task_id)
  t.match(await second.status(), { task_id: first.task_id, state: 'delayed' })
  t.equal(await second.cancel(), true)
  t.match(await first.status(), { state: 'cancelled' })
  t.match(await failure(second.result()), { code: 'TASK_CANCELLED' })
  await until(async () => (await third.status()).state === 'delayed')
  t.match(await app.tasks.find(third.task_id), { id: third.task_id })
})

onEachStore(t, 'a task of a transaction runs when that commits', async (t, place) => {
  const { note, ran, within } = await create(t, place)
  const gate = createGate()
  const added = createGate<{ result(): Promise<unknown> }>()
  const work = within(async () => {
    added.open(await note.enqueue({ text: 'a' }))
    await gate.opened
  })
  const task = await added.opened
  t.strictSame(ran, [])
  gate.open()
  await work
  t.equal(await task.result(), 'a', 'it can be waited for at once')
  t.strictSame(ran, ['a'])
})

onEachStore(t, 'and never where it is taken back', async (t, place) => {
  const { app, note, ran, within } = await create(t, place)
  let id = ''
  const taken = within(async () => {
    id = (await note.enqueue({ text: 'never' })).task_id
    throw new Error('taken back')
  })
  t.equal((await failure(taken)).message, 'taken back')
  const last = await within(() => note.enqueue({ text: 'last' }))
  await last.result()
  t.strictSame(ran, ['last'])
  await t.rejects(app.tasks.status(id), { code: 'TASK_NOT_FOUND' })
  await t.rejects(app.tasks.result(id), { code: 'TASK_NOT_FOUND' })
})

onEachStore(t, 'as a chain, and in the calls of the transaction', async (t, place) => {
  const { app, note, ran } = await create(t, place)
  const add = () => chain(note.task({ text: 'a' }), note.task({ text: 'b' }))
  const task = await app.run(() =>
    app.db.transaction().execute(async () => await Promise.resolve().then(add)),
  )
  t.equal(await task.result(), 'a>b')
  t.strictSame(ran, ['a', 'a>b'])
})

onEachStore(t, 'what is enqueued before it commits is there, waiting', async (t, place) => {
  const { app, note, within } = await create(t, place)
  // It is prepared with the first one.
  await (await within(() => note.enqueue({ text: 'first' }))).result()
  const task = await within(() => note.enqueue({ text: 'x' }, { delay: 3_600_000 }))
  const { state } = await app.tasks.status(task.task_id)
  t.ok(['waiting', 'delayed'].includes(state), state)
  t.equal(await task.cancel(), true)
  await until(async () => (await task.status()).state === 'cancelled')
})

for (const driver of databaseDrivers) {
  t.test(
    `what is enqueued while Redis is away runs when it is back (${driver.name})`,
    async (t) => {
      const redis = await ownRedis(t)
      const { app, note, ran, within } = await create(t, { driver, url: redis.url }, IMPATIENT)
      t.equal(await (await app.run(() => note.enqueue({ text: '0' }))).result(), '0')
      await redis.kill()
      const alone = await app.run(() => note.enqueue({ text: 'alone' }))
      const together = await within(() => note.enqueue({ text: 'together' }))
      await redis.restart()
      t.strictSame(await Promise.all([alone.result(), together.result()]), ['alone', 'together'])
      t.strictSame(ran.toSorted(), ['0', 'alone', 'together'])
    },
  )
}

t.test('without a database and without Redis it is told', async (t) => {
  const { note } = noting()
  const url = `redis://127.0.0.1:${await freePort()}`
  const prefix = randomUUID()
  const options = { ...IMPATIENT, queues: [], prefix, resources: { async: true } }
  const app = await serve(t, { url }, { note }, options)
  const told = await failure(app.run(() => note.enqueue({ text: 'x' })))
  t.equal(told.code, 'TASKS_UNAVAILABLE')
  t.notMatch(told.message, url)
  const response = await app.inject({
    url: '/things?text=x',
    headers: { 'x-async-task': '1' },
  })
  t.strictSame([response.statusCode, response.json().code], [503, 'TASKS_UNAVAILABLE'])
  t.equal((await app.inject(`/tasks/${newTaskId('default')}`)).statusCode, 503)
})

onEachStore(t, 'no task is found by an id that none has', async (t, place) => {
  const { app, within, note } = await create(t, place)
  await within(() => note.enqueue({ text: 'a' }))
  for (const id of ['é', '你', '😀', '%', "'"]) {
    const { statusCode } = await app.inject(`/tasks/${encodeURIComponent(id)}`)
    t.equal(statusCode, 404, id)
  }
})
