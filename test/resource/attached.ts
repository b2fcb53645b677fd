import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import cache, { type CacheOptions } from '../../plugins/cache.ts'
import redis from '../../plugins/redis.ts'
import tasks, { type TasksPluginOptions } from '../../plugins/tasks.ts'
import type { RedisLimits } from '../../src/config/redis-connection.ts'
import type { ResourceTable } from '../../src/resource/module.ts'
import type { TaskStore } from '../../src/task/tasks.ts'
import { type LogLine, serveThings, type TestAppOptions } from '../helpers/app.ts'
import { type DatabaseDriver, databaseDrivers, PATIENT, redisUrl } from '../helpers/drivers.ts'

/** What an app has attached: nothing, or a Redis. */
export interface Attached {
  readonly name: string
  readonly url: string | undefined
  /** Where tasks are; default: where they are by default. */
  readonly store?: TaskStore
}

const MEMORY: Attached = { name: 'memory', url: undefined }
const REDIS: Attached = { name: 'redis', url: redisUrl() }

export interface AttachedOptions extends TestAppOptions {
  /** Apps with one prefix share cache and tasks; default: one of its own. */
  prefix?: string
  cache?: CacheOptions
  /** How long its Redis may take; default: {@link PATIENT}. */
  redis?: Partial<RedisLimits>
  tasks?: TasksPluginOptions
  /** Work on these queues, where nothing does it by itself; default: `default`. */
  queues?: readonly string[]
}

type AttachedTest = (t: Test, attached: Attached) => Promise<void>

/** Runs `test` without and with Redis. */
export function onEach(t: Test, name: string, test: AttachedTest): void {
  for (const attached of [MEMORY, REDIS]) {
    t.test(`${name} (${attached.name})`, (t) => test(t, attached))
  }
}

export interface Place extends Omit<Attached, 'name'> {
  driver: DatabaseDriver
}

/** Runs `test` on every database, without and with Redis. */
export function onEachPlace(
  t: Test,
  name: string,
  test: (t: Test, place: Place) => Promise<void>,
  places: readonly Attached[] = [MEMORY, REDIS],
): void {
  for (const driver of databaseDrivers) {
    for (const { name: other, ...place } of places) {
      t.test(`${name} (${driver.name}, ${other})`, (t) => test(t, { driver, ...place }))
    }
  }
}

/** Runs `test` on every database, with tasks wherever they may be. */
export function onEachStore(
  t: Test,
  name: string,
  test: (t: Test, place: Place) => Promise<void>,
): void {
  const database: Attached = { ...MEMORY, name: 'database', store: 'database' }
  onEachPlace(t, name, test, [{ ...MEMORY, store: 'memory' }, database, REDIS])
}

/** `resources` at `/things`, with a cache and tasks; the header `x-user` tells who asks. */
export async function serve(
  t: Test,
  { url, store }: Omit<Attached, 'name'>,
  resources: ResourceTable,
  { prefix = randomUUID(), queues = ['default'], ...options }: AttachedOptions = {},
): Promise<FastifyInstance> {
  const app = await serveThings(t, resources, {
    ...options,
    plugin(app) {
      identify(app)
      options.plugin?.(app)
      if (url) app.register(redis, { url, ...PATIENT, ...options.redis })
      app.register(cache, { prefix, ...PATIENT, ...options.cache })
      const loadUser = (id: string) => ({ id, name: `${id}, loaded` })
      const own = { prefix: `{${prefix}}`, loadUser, ...(store && { store }) }
      app.register(tasks, { ...own, ...options.tasks })
    },
  })
  if (app.tasks.store !== 'memory' && queues.length > 0)
    await app.tasks.work({ queues, concurrency: 5, schedules: false })
  return app
}

function identify(app: FastifyInstance): void {
  app.decorateRequest('user', undefined as never)
  app.addHook('onRequest', async (request) => {
    const id = request.headers['x-user']
    if (typeof id === 'string') Object.assign(request, { user: { id } })
  })
}

/** For what waits until a Redis that is gone is given up. */
export const IMPATIENT: AttachedOptions = { redis: { commandTimeout: 2000 } }

/** Options of an app whose log lines are kept. */
export function logged(): { logs: LogLine[]; server: NonNullable<TestAppOptions['server']> } {
  const logs: LogLine[] = []
  const stream = { write: (line: string) => logs.push(JSON.parse(line)) }
  return { logs, server: { logger: { level: 'info', stream } } }
}
