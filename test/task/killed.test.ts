import { randomUUID } from 'node:crypto'
import { type Job, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { errors } from '../../src/errors.ts'
import { countCrashed, crashesOf, listCrashed, noteCrashes } from '../../src/task/bullmq/crashes.ts'
import { TaskRetry } from '../../src/task/errors.ts'
import type { Run, TaskDriver } from '../../src/task/types.ts'
import { block } from '../helpers/block.ts'
import { databaseDrivers, redisUrl } from '../helpers/drivers.ts'
import { gate, task, until, work } from '../suites/task-fixture.ts'
import { databaseTasks } from './database-fixture.ts'
import { redisDrivers } from './redis-fixture.ts'
import { startWorker, type TaskPlace } from './worker-process.ts'

/** Where tasks are: what a worker is told of it. */
interface Kept {
  driver: TaskDriver
  place: TaskPlace
}

const PLACES: Record<string, (t: Test) => Promise<Kept>> = {
  async redis(t) {
    const prefix = `test-${randomUUID()}`
    const driver = redisDrivers(t, { prefix, ...TIMES })()
    return { driver, place: [redisUrl(), prefix] }
  },
}
for (const database of databaseDrivers) {
  PLACES[database.name] = async (t) => {
    const { url, again } = await databaseTasks(t, database, { lease: TIMES.lockDuration })
    return { driver: again(), place: [url, ''] }
  }
}

/** Runs `test` wherever tasks may be that processes share. */
function onEach(name: string, test: (t: Test, kept: Kept) => Promise<void>): void {
  for (const [place, open] of Object.entries(PLACES))
    t.test(`${name} (${place})`, async (t) => await test(t, await open(t)))
}

const TIMES = { lockDuration: 500, stalledInterval: 200 }

/** Kills a worker as soon as it runs `count` tasks; tells which. */
async function runAndKill(t: Test, place: TaskPlace, count: number): Promise<string[]> {
  const { ran, kill } = startWorker(t, place)
  const ids: string[] = []
  for await (const id of ran) {
    ids.push(id)
    if (ids.length === count) break
  }
  await kill()
  return ids
}

onEach(
  'tasks of workers that are killed again and again run all the same',
  async (t, { driver, place }) => {
    const tasks = Array.from({ length: 5 }, (_, input) => task({ input }))
    await driver.add(tasks)
    const ids = tasks.map(({ id }) => id)
    for (const _ of [1, 2]) t.strictSame((await runAndKill(t, place, 5)).toSorted(), ids.toSorted())
    // By now each may be what ends the processes: they run one after the other.
    for (const _ of [3, 4]) t.ok(ids.includes((await runAndKill(t, place, 1))[0] ?? ''))
    await work(t, driver, async ({ attempt }) => attempt)
    for (const id of ids) {
      const record = await driver.finished(id)
      t.match(record, { state: 'succeeded', result: 1, attempts: 1, attempts_made: 1 }, id)
    }
  },
)

onEach(
  'a task that ends its process again and again fails, and takes no other with it',
  async (t, { driver, place }) => {
    const poison = task({ input: 'poison', attempts: 3 })
    const beside = Array.from({ length: 4 }, () => task({ input: 'beside' }))
    await driver.add([poison, ...beside])
    const ended = driver.finished(poison.id)
    let failed = false
    ended.then(() => {
      failed = true
    })
    const crashes: { worker: string }[] = []
    while (!failed && crashes.length < 12) {
      const { ran, kill, name } = startWorker(t, place)
      let ids: string[] = []
      const died = (async () => {
        for await (const id of ran) ids.push(id)
      })()
      await Promise.race([died, ended])
      if (ids.includes(poison.id)) crashes.push({ worker: name })
      ids = []
      await kill()
    }
    t.equal(crashes.length, 5)
    const failure = { code: 'TASK_CRASHED', message: /5 times/ }
    const record = await ended
    t.match(record, { state: 'crashed', failure, attempts_made: 1, crashes })
    t.equal(record.crashes.length, 5, 'who has died of it')
    for (const { began_at, noticed_at } of record.crashes)
      t.ok(began_at >= record.enqueued_at && noticed_at >= began_at)
    t.strictSame(await driver.list('default', 'crashed', 0, 9), [record])
    t.strictSame(await driver.list('default', 'failed', 0, 9), [])
    t.match(await driver.counts('default'), { failed: 0, crashed: 1 })
    const working = await work(t, driver, async () => 'done')
    for (const { id } of beside) t.match(await driver.finished(id), { state: 'succeeded' })
    t.equal(await driver.retry(poison.id), true)
    t.match(await driver.finished(poison.id), { state: 'succeeded', crashes: [] }, 'it begins anew')
    t.match(await driver.counts('default'), { failed: 0, crashed: 0 })
    await working.stop(1000)
  },
)

/** A worker of BullMQ's that has taken a task and does nothing with it. */
async function takeByHand(t: Test) {
  const prefix = `test-${randomUUID()}`
  const driver = redisDrivers(t, { prefix })()
  await driver.add([task()])
  const connection = new Redis(redisUrl(), { maxRetriesPerRequest: null })
  const worker = new Worker('default', null, { connection, prefix, name: 'late', autorun: false })
  t.teardown(async () => {
    await worker.close(true)
    connection.disconnect()
  })
  const job = (await worker.getNextJob('token')) as Job
  return { driver, connection, worker, job, id: job.id as string }
}

t.test('who has died is noted before others are given the task (redis)', async (t) => {
  const { connection, worker, job, id } = await takeByHand(t)
  const checked = worker as unknown as { moveStalledJobsToWait(): Promise<void> }
  const look = async () => {
    await checked.moveStalledJobsToWait()
    return await job.getState()
  }
  t.equal(await noteCrashes(connection, worker), true)
  t.equal(await look(), 'active')
  t.equal(await noteCrashes(connection, worker), false, 'BullMQ has looked')
  await connection.del(worker.toKey('stalled-check'))
  t.equal(await noteCrashes(connection, worker), true)
  // As if it had run out between the two.
  await connection.del(worker.toKey(`${id}:lock`))
  t.equal(await look(), 'active', 'it is not noted yet')
  await connection.del(worker.toKey('stalled-check'))
  t.equal(await noteCrashes(connection, worker), true)
  t.equal(await look(), 'waiting')
  t.match(await crashesOf(connection, worker, id), [{ worker: 'late' }])
})

t.test(
  'whoever counts, one that is given up counts as crashed until it is tried again',
  async (t) => {
    const { driver, connection, worker, job, id } = await takeByHand(t)
    await listCrashed(connection, worker, id)
    t.equal(await countCrashed(connection, worker), 0, 'it is about to fail')
    t.strictSame(await driver.list('default', 'crashed', 0, 9), [])
    await job.moveToFailed(new Error('crashed'), 'token')
    t.equal(await countCrashed(connection, worker), 1)
    t.equal(await driver.retry(id), true)
    await work(t, driver, async () => {
      throw errors.FORBIDDEN()
    })
    t.match(await driver.finished(id), { state: 'failed', failure: { code: 'FORBIDDEN' } })
    t.match(await driver.counts('default'), { failed: 1, crashed: 0 })
  },
)

onEach('places of a worker that is killed come free', async (t, { driver, place }) => {
  const tasks = Array.from({ length: 6 }, (_, input) => task({ input, concurrencyKey: 'a' }))
  await driver.add(tasks)
  const killed = await runAndKill(t, place, 2)
  t.strictSame(killed, [tasks[0]?.id, tasks[1]?.id])
  const began: string[] = []
  let [now, most] = [0, 0]
  const perform = async ({ id }: Run) => {
    began.push(id)
    most = Math.max(most, ++now)
    // However late the second one is.
    await until(() => most >= 2)
    await new Promise((resolve) => setTimeout(resolve, 20))
    now--
  }
  await work(t, driver, perform, { concurrencyOf: () => 2 })
  for (const { id } of tasks)
    t.match(await driver.finished(id), { state: 'succeeded', attempts_made: 1 })
  t.equal(most, 2)
  t.strictSame(began.toSorted(), tasks.map(({ id }) => id).toSorted(), 'each once, none is lost')
})

t.test('a place whose task is gone comes free by itself (redis)', async (t) => {
  const prefix = `test-${randomUUID()}`
  const driver = redisDrivers(t, { prefix, ...TIMES })()
  const running = gate()
  await work(t, driver, running.perform, { concurrencyOf: () => 1 })
  const [gone, next, mark] = [
    task({ concurrencyKey: 'a' }),
    task({ concurrencyKey: 'a' }),
    task({ input: 'mark' }),
  ]
  for (const one of [gone, next, mark]) await driver.add([one])
  await until(() => running.begun.length === 2)
  t.strictSame(running.begun.map(({ id }) => id).toSorted(), [gone.id, mark.id].toSorted())
  const client = new Redis(redisUrl())
  t.teardown(() => client.disconnect())
  const job = `${prefix}:default:${gone.id}`
  // As where Redis has lost it: nobody gives its place back.
  await client.multi().del(job, `${job}:lock`).lrem(`${prefix}:default:active`, 0, gone.id).exec()
  await until(() => running.begun.length === 3)
  t.equal(running.begun[2]?.id, next.id)
  running.release()
  t.match(await driver.finished(next.id), { state: 'succeeded' })
})

onEach('what holds its process up longer than its lock lasts runs once', async (t, { driver }) => {
  let runs = 0
  await work(t, driver, async ({ id }) => {
    runs++
    block(1500)
    // Meanwhile this very worker finds out that the lock has run out.
    for (let i = 0; i < 50; i++) await driver.get(id)
    return 'done'
  })
  const [one, other] = [task(), task({ attempts: 2 })]
  for (const { id } of [one, other]) {
    runs = 0
    await driver.add([id === one.id ? one : other])
    t.match(await driver.finished(id), { state: 'succeeded', result: 'done', attempts_made: 1 })
    t.equal(runs, 1)
  }
})

t.test('one that is taken again before its last run is over runs again then (redis)', async (t) => {
  const prefix = `test-${randomUUID()}`
  const driver = redisDrivers(t, { prefix, lockDuration: 60_000 })()
  const client = new Redis(redisUrl())
  const { hdel } = Redis.prototype
  t.teardown(() => {
    Object.assign(Redis.prototype, { hdel })
    client.disconnect()
  })
  const one = task()
  await driver.add([one])
  const job = `${prefix}:default:${one.id}`
  // As of one that several have died of: it is noted that this one has not.
  await client.hset(job, 'stc', 2)
  let isLate = false
  const late = async function (this: Redis, ...args: Parameters<typeof hdel>) {
    if (!isLate && args[0] === job) {
      isLate = true
      await until(async () => (await client.hget(job, 'ats')) === '2')
    }
    return await hdel.apply(this, args)
  }
  Object.assign(Redis.prototype, { hdel: late })
  let runs = 0
  await work(t, driver, async () => {
    if (++runs === 1) throw new TaskRetry(0)
  })
  await until(async () => (await driver.get(one.id))?.state === 'succeeded')
  t.strictSame([isLate, runs], [true, 2])
})

t.test('what comes to a process that stands still meanwhile runs once (redis)', async (t) => {
  // Through which all goes that Redis has given to a worker.
  const answered = Worker.prototype as unknown as {
    nextJobFromJobData(job: unknown, ...rest: unknown[]): unknown
  }
  const { nextJobFromJobData } = answered
  t.teardown(() => Object.assign(answered, { nextJobFromJobData }))
  let isHeldUp = false
  answered.nextJobFromJobData = function (job, ...rest) {
    if (job && !isHeldUp) {
      isHeldUp = true
      block(1500)
    }
    return nextJobFromJobData.call(this, job, ...rest)
  }
  const driver = redisDrivers(t, TIMES)()
  const ran: unknown[] = []
  await work(t, driver, async ({ id }) => ran.push(id))
  const one = task()
  await driver.add([one])
  t.match(await driver.finished(one.id), { state: 'succeeded', attempts_made: 1, crashes: [] })
  t.strictSame(ran, [one.id])
  t.equal(isHeldUp, true)
})

onEach(
  'of two workers that run it the first to end it counts, and it does not run again',
  async (t, { driver, place }) => {
    const one = task({ input: 'block' })
    await driver.add([one])
    const workers = [startWorker(t, place), startWorker(t, place)]
    const runs: string[] = []
    for (const { ran } of workers) ran.on('line', (id) => runs.push(id))
    const record = await driver.finished(one.id)
    t.match(record, { state: 'succeeded', result: Number, attempts_made: 1 })
    // The other one has ended it, too, when it runs this one.
    const next = Array.from({ length: 2 }, () => task({ input: 'block' }))
    await driver.add(next)
    for (const { id } of next) await driver.finished(id)
    t.strictSame(await driver.get(one.id), record)
    t.ok(runs.filter((id) => id === one.id).length <= 2)
  },
)

onEach(
  'what a worker that does not answer has come to is not taken once it is cancelled',
  async (t, { driver, place }) => {
    const one = task({ input: 'freeze' })
    await driver.add([one])
    const { ran } = startWorker(t, place, 20_000)
    const lines = ran[Symbol.asyncIterator]()
    t.equal((await lines.next()).value, one.id)
    t.equal(await driver.cancel(one.id), true)
    await work(t, driver, async () => 'nothing runs here')
    t.match(await driver.finished(one.id), { state: 'cancelled' })
    t.equal((await lines.next()).value, 'over')
    const next = task({ input: 'beside' })
    await driver.add([next])
    await driver.finished(next.id)
    t.match(await driver.get(one.id), { state: 'cancelled', result: null })
  },
)
