import Fastify from 'fastify'
import cache from '../../plugins/cache.ts'
import database from '../../plugins/database.ts'
import queues from '../../plugins/queues.ts'
import redis from '../../plugins/redis.ts'
import tasks from '../../plugins/tasks.ts'
import { openBullmq } from '../../src/task/bullmq.ts'
import { parseSchedule, plainTask } from '../../src/task/schedule.ts'
import { TaskProcess } from '../../src/task/task-process.ts'
import type { TaskDriver } from '../../src/task/types.ts'
import { aliveBy } from '../helpers/alive-by.ts'
import { task } from '../suites/task-fixture.ts'

// Opens something, closes it while it opens, says `closed`, and should end then. After so many ms it says why it does not.
const BOUND = 12_000
const [name = '', url = '', databaseUrl = ''] = process.argv.slice(2)
const SILENT = { info() {}, warn() {}, error() {} }
const WORK = { queues: ['default'], concurrency: 1, schedules: true }

function openDriver(): TaskDriver {
  return openBullmq({
    redis: url,
    prefix: `test-${process.pid}`,
    log: SILENT,
    patience: 30_000,
  })
}

const CASES: Record<string, () => Promise<void>> = {
  async 'waits for a task'() {
    const driver = openDriver()
    const one = task()
    await driver.add([one])
    const ended = driver.finished(one.id).catch(() => {})
    // Asked later and more often, so that it waits by then.
    for (let i = 0; i < 5; i++) await driver.get(one.id)
    await driver.close()
    await ended
  },
  async 'works on tasks'() {
    const driver = openDriver()
    await driver.work({ ...WORK, perform: async () => null })
    await driver.close()
  },
  async 'adds a tree'() {
    const driver = openDriver()
    await driver.get(task().id)
    const added = driver.addTree({ ...task(), children: [] }).catch(() => {})
    await new Promise(setImmediate)
    await driver.close()
    await added
  },
  async 'has tasks of its own'() {
    const schedules = [parseSchedule('x', '0 0 1 1 *')]
    const own = new TaskProcess({
      source: {
        perform: async () => null,
        hasSchedules: () => true,
        concurrencyOf: () => undefined,
        readMade: (name, given) => parseSchedule(name, given),
        runsHere: () => true,
        isDeclared: () => false,
        readSchedules: () => ({ schedules, toTask: plainTask }),
      },
      ...{
        store: 'memory' as const,
        db: undefined,
        worksInServer: true,
        schedules: true,
        queues: () => [],
      },
      ...{ redis: undefined, outbox: undefined, limits: undefined, log: SILENT },
      ...{ prefix: 'x', concurrency: 1, maxCrashes: 1, stopTimeout: 1000 },
    })
    const begun = Promise.allSettled([own.serve(), own.work(WORK)])
    await own.close()
    await begun
  },
  async 'shows its queues'() {
    const app = Fastify()
    await app.register(redis, { url })
    await app.register(tasks, { prefix: `test-${process.pid}` })
    await app.register(queues)
    await app.ready()
    await (await app.tasks.driver()).add([task()])
    const shown = app.inject('/_/queues/api/queues').catch(() => {})
    await app.close()
    await shown
  },
  async 'serves with all that is attached'() {
    const app = Fastify()
    const prefix = `test-${process.pid}`
    await app.register(database, { url: databaseUrl })
    await app.register(redis, { url })
    await app.register(cache, { prefix })
    await app.register(tasks, { prefix })
    const begun: Promise<unknown>[] = []
    const begin = async () => {
      begun.push(
        app.tasks.work(WORK),
        app.cache.getOrSet('key', () => 1, { ttl: 60_000 }),
        app.tasks.driver().then((driver) => driver.finished(task().id)),
        app.db.selectFrom('x' as never).execute(),
      )
      for (const one of begun) one.catch(() => {})
    }
    app.addHook('onClose', begin)
    await app.ready()
    await begin()
    await app.close()
    await Promise.allSettled(begun)
  },
}

await CASES[name]?.()
console.log('closed')
setTimeout(async () => {
  console.error((await aliveBy()).join('\n'))
  process.exit(1)
}, BOUND).unref()
