import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import redisPlugin from '../../plugins/redis.ts'
import tasks from '../../plugins/tasks.ts'
import { openBullmq } from '../../src/task/bullmq.ts'
import type { TaskDriver } from '../../src/task/types.ts'
import { ownRedis } from '../helpers/own-redis.ts'
import { gate, task, until, work } from '../suites/task-fixture.ts'

// Each waits for a Redis of its own.
t.jobs = 4

const UNAVAILABLE = { code: 'TASKS_UNAVAILABLE', statusCode: 503 }

function open(t: Test, url: string): { driver: TaskDriver; lines: string[] } {
  const lines: string[] = []
  const to = (level: string) => (_: object, message: string) => {
    lines.push(`${level}: ${message}`)
  }
  const log = { info: to('info'), warn: to('warn'), error: to('error') }
  // Longer than any outage here: nothing is to run twice.
  const times = { lockDuration: 30_000, stalledInterval: 300 }
  const driver = openBullmq({ redis: url, prefix: `test-${randomUUID()}`, log, ...times })
  t.teardown(() => driver.close())
  return { driver, lines }
}

async function took(work: Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work
  return performance.now() - began
}

t.test('Redis goes away and comes back', async (t) => {
  const redis = await ownRedis(t)
  const { driver, lines } = open(t, redis.url)
  const { perform, begun, release } = gate()
  const [running, waiting, later, added] = [
    task({ input: 1 }),
    task(),
    task({ delay: 500 }),
    task(),
  ]
  await driver.add([running, waiting, later])
  await work(t, driver, perform, { concurrency: 1 })
  const ended = [running, waiting, later].map(({ id }) => driver.finished(id))
  await until(() => begun.length === 1)
  await redis.kill()

  const fails = t.rejects(driver.add([added]), UNAVAILABLE)
  t.ok((await took(fails)) < 6000)
  // The first may have been told at once: they were on their way when the connection was lost. Then it is waited for.
  await until(async () => {
    const failing = driver.add([added]).catch((error: Error) => error.message)
    return (await took(failing)) < 100 && /not reachable/.test(String(await failing))
  })
  const message = /Redis/
  const all = Promise.all([
    t.rejects(driver.add([added]), { ...UNAVAILABLE, message }),
    t.rejects(driver.addTree({ ...added, children: [] }), UNAVAILABLE),
    t.rejects(driver.get(running.id), UNAVAILABLE),
    t.rejects(driver.cancel(running.id), UNAVAILABLE),
    t.rejects(driver.list('default', 'waiting', 0, 1), UNAVAILABLE),
    t.rejects(driver.counts('default'), UNAVAILABLE),
    t.rejects(driver.queues(), UNAVAILABLE),
  ])
  t.ok((await took(all)) < 1500, 'at once, when it has been away for a while')
  release()

  await redis.restart()
  for (const record of await Promise.all(ended)) t.match(record, { state: 'succeeded' })
  t.equal(begun.length, 3, 'none of them ran twice')
  await driver.add([added])
  t.match(await driver.finished(added.id), { state: 'succeeded' })
  await until(() => lines.length >= 2)
  t.match(lines, [/^warn: Redis is away/, /^info: Redis is back/])
  t.equal(lines.length, 2)
})

t.test('Redis goes silent', async (t) => {
  const redis = await ownRedis(t)
  const { driver } = open(t, redis.url)
  const { perform, begun } = gate()
  const [one, other] = [task(), task()]
  await driver.add([one])
  const working = await work(t, driver, perform)
  await until(() => begun.length)
  redis.freeze()
  const [adding, getting, stopping] = await Promise.all([
    took(t.rejects(driver.add([other]), UNAVAILABLE)),
    took(t.rejects(driver.get(one.id), UNAVAILABLE)),
    took(working.stop(100)),
  ])
  t.ok(adding < 30_000 && getting < 30_000 && stopping < 30_000)
  t.ok((await took(driver.close())) < 30_000)
  redis.goOn()

  const next = open(t, redis.url)
  await next.driver.add([other])
  t.match(await next.driver.get(other.id), { state: 'waiting' })
})

t.test('Redis is not there yet', async (t) => {
  const redis = await ownRedis(t, { started: false })
  const { driver, lines } = open(t, redis.url)
  const runs: unknown[] = []
  await work(t, driver, async ({ id }) => runs.push(id))
  const one = task()
  t.ok((await took(t.rejects(driver.add([one]), UNAVAILABLE))) < 6000)
  await redis.restart()
  await until(() => driver.add([one]).catch(() => undefined))
  await driver.finished(one.id)
  t.strictSame(runs, [one.id])
  await until(() => lines.length >= 2)
  t.match(lines, [/^warn/, /^info/])
})

t.test('Redis is gone when the worker ends', async (t) => {
  const redis = await ownRedis(t)
  const { driver } = open(t, redis.url)
  const { perform, begun } = gate()
  const one = task()
  await driver.add([one])
  const working = await work(t, driver, perform)
  await until(() => begun.length)
  await redis.kill()
  t.ok((await took(working.stop(100))) < 10_000)
  t.ok((await took(driver.close())) < 30_000)
  await redis.restart()
  const next = open(t, redis.url)
  t.equal(await next.driver.get(one.id), undefined, 'other keys')
})

t.test('Redis that is late is waited for as long as the service waits for it', async (t) => {
  const redis = await ownRedis(t)
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(redisPlugin, { url: redis.url, commandTimeout: 30_000 })
  await app.register(tasks, { prefix: `test-${randomUUID()}` })
  await app.ready()
  const driver = await app.tasks.driver()
  const [first, late] = [task(), task()]
  await driver.add([first])
  redis.freeze()
  const adding = driver.add([late])
  // Longer than a service waits that says nothing of it.
  await Promise.race([adding, delay(3000)]).finally(() => redis.goOn())
  t.strictSame(await adding, [late.id])
})
