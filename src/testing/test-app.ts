import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { SeedOptions, SeedResult } from '../database/seed/seeder.ts'
import type { ServiceDefinition } from '../define-service.ts'
import { pluginsOf } from '../kit.ts'
import type { User } from '../resource/context.ts'
import type { ModuleTable } from '../resource/module.ts'
import { type App, createApp } from '../service.ts'
import { type Caller, Callers } from './callers.ts'
import { TestClock } from './clock.ts'
import type { IsolatedDatabase } from './isolated.ts'
import { copySqlite } from './sqlite-copies.ts'
import { type StubResource, Stubs } from './stub.ts'
import { type TaskControl, TestTasks } from './tasks.ts'
import { seedDatabase, templateOf } from './template.ts'
import { TestUpstreams, type Upstreams } from './upstreams.ts'

/** Of tap or of node:test: what is to be done when the test is over. */
export interface TestContext {
  after?(work: () => Promise<void>): unknown
  teardown?(work: () => Promise<void>): unknown
}

export interface TestAppOptions<Modules extends ModuleTable = ModuleTable> {
  /** The app is closed when this test is over, or all of the file (`{ after }` of node:test, `t` of tap). Default: who has made it closes it. */
  t?: TestContext
  /** The folder of the service; default: the working folder. */
  root?: string
  /** The variables that it reads, beside NODE_ENV=test and those below. Neither the environment nor `.env` is. */
  env?: Readonly<Record<string, string | undefined>>
  /** `sqlite`, or the URL of a server of MySQL, whose account may create databases. Default: TEST_DATABASE_URL, else `sqlite`. */
  database?: string
  /** The URL of a Redis, where it has keys of its own; default: none, cache and tasks are in memory. */
  redis?: string
  /** Adds the rows that each test begins with. Called once in each process; give all tests the same function. */
  setUp?(app: TestApp<Modules>): Promise<void>
  /**
   * Whether the APIs of the service (`defineApi`), other services (`createClient`) and its modules in other processes are answered by `app.upstreams`, and no other
   * system is asked; default false. It needs `undici`.
   */
  upstreams?: boolean
  /** Where log lines go; default false, nowhere. */
  logger?: FastifyServerOptions['logger']
}

/** What tests do with an app, beside what it does itself. */
export interface Testing<Modules extends ModuleTable> extends Pick<Caller<Modules>, 'send'> {
  /** Somebody who calls: a user, or one by the id, or nobody (null). `app.inject` and `app.send` are nobody's, `app.resources` the service's own. */
  as(user: User | string | null): Caller<Modules>
  /** Has something else done in place of what a resource does, until it is restored or the app is reset. */
  readonly stub: StubResource
  /** The time, which stands still once it is set or advanced, until the app is reset. */
  readonly clock: Pick<TestClock, 'now' | 'set' | 'advance'>
  /** What answers in place of other systems. @throws {Error} unless the app was made with `upstreams: true` */
  readonly upstreams: Upstreams
  /**
   * Puts everything back: the rows of the database, stubs, tasks, the clock, what is cached, the counts of rate limits and what other systems answer. What else a process
   * keeps in memory stays: sessions without a store, variables of the service.
   */
  reset(): Promise<void>
  /** Resets it when that test is over. */
  resetAfter(t: TestContext): void
  /** Runs the seeds of the service, as `manage seed`: for `setUp`. @throws {PlinthError} SEED_UNKNOWN, SEED_INVALID, SEED_FAILED */
  seed(options?: SeedOptions): Promise<SeedResult[]>
}

/** An app to test: the service's own, on a database that nobody else has. */
export type TestApp<Modules extends ModuleTable = ModuleTable> = App<Modules> &
  Testing<Modules> & { readonly tasks: TaskControl }

/**
 * Makes the app of a service for tests, ready, on a database of its own: of SQLite a copy, of MySQL a schema that this process has used before and put back.
 * Its migrations run once.
 *
 * @throws {PlinthError} as `createApp`, and what migrations fail with
 */
export async function testApp<Modules extends ModuleTable>(
  service: ServiceDefinition<Modules>,
  options: TestAppOptions<Modules> = {},
): Promise<TestApp<Modules>> {
  const database = await isolate(service, options)
  const app = await start(service, options, database)
  whenOver(options.t, () => app.close() as unknown as Promise<void>)
  return app
}

function whenOver(t: TestContext | undefined, work: () => Promise<void>): void {
  if (t?.after) t.after(work)
  else t?.teardown?.(work)
}

/** Undefined where the service has no tables: it has a database in memory then, as any service in tests. */
async function isolate<Modules extends ModuleTable>(
  service: ServiceDefinition<Modules>,
  options: TestAppOptions<Modules>,
): Promise<IsolatedDatabase | undefined> {
  const { root = process.cwd(), env, setUp } = options
  const { database = process.env.TEST_DATABASE_URL ?? 'sqlite' } = options
  const fill = async (url: string) => {
    const own = { url, restore: async () => {}, close: async () => {} }
    const app = await start(service, options, own)
    try {
      await setUp?.(app)
    } finally {
      await app.close()
    }
  }
  const template = await templateOf(service, { root, env, setUp: setUp && { key: setUp, fill } })
  if (!template) return undefined
  if (!database.startsWith('mysql:')) return await copySqlite(template)
  const { useMysqlSchema } = await import('./mysql-schemas.ts')
  const url = new URL(database)
  if (url.pathname.length < 2) url.pathname = `/${service.name.replaceAll('-', '_')}`
  return await useMysqlSchema(url.href, template)
}

async function start<Modules extends ModuleTable>(
  service: ServiceDefinition<Modules>,
  options: TestAppOptions<Modules>,
  database: IsolatedDatabase | undefined,
): Promise<TestApp<Modules>> {
  const { root = process.cwd(), env, redis, logger = false } = options
  const keys = `test-${randomUUID()}`
  const callers = new Callers()
  const clock = new TestClock()
  const identify = callers.identify(service)
  const app = (await createApp(service, {
    root,
    env: {
      NODE_ENV: 'test',
      ...env,
      ...(database && { DATABASE_URL: database.url }),
      ...(redis && { REDIS_URL: redis }),
    },
    dotenv: false,
    logger,
    override: {
      cache: { prefix: keys },
      tasks: { prefix: `{${keys}}:tasks`, clock, store: redis ? 'redis' : 'memory' },
      queues: { prefix: `{${keys}}:tasks` },
      'rate-limit': { prefix: keys },
      ...(identify && { resources: { identify } }),
    },
    prepare(app) {
      // The first is called last: nobody uses them any more.
      app.addHook('onClose', async () => {
        await database?.close()
        if (redis) await removeKeys(redis, keys)
      })
      callers.prepare(app)
    },
  }).catch(async (error: unknown) => {
    await database?.close()
    throw error
  })) as unknown as FastifyInstance
  try {
    callers.replaceStrategies(app)
    await equip(app, {
      service,
      root,
      callers,
      clock,
      database,
      redis,
      keys,
      replaces: options.upstreams ?? false,
    })
    await app.ready()
  } catch (error) {
    await app.close()
    throw error
  }
  return app as unknown as TestApp<Modules>
}

interface Equipment {
  service: ServiceDefinition
  root: string
  callers: Callers
  clock: TestClock
  database: IsolatedDatabase | undefined
  /** The URL of a Redis, and what all keys have that the app has in it. */
  redis: string | undefined
  keys: string
  /** Whether other systems are replaced. */
  replaces: boolean
}

/** Gives an app whose plugins are loaded what tests do with it. @throws {Error} of Fastify, where the service has taken a name */
async function equip(
  app: FastifyInstance,
  { service, root, callers, clock, database, redis, keys, replaces }: Equipment,
): Promise<void> {
  const stubs = new Stubs(app)
  const tasks = new TestTasks(app)
  clock.follow(tasks)
  app.addHook('onClose', async () => {
    stubs.restoreAll()
    tasks.close()
    clock.close()
  })
  const upstreams = replaces ? await TestUpstreams.open(app) : undefined
  const reset = async () => {
    stubs.restoreAll()
    await tasks.clear()
    clock.reset()
    await database?.restore()
    for (const { name, definition } of pluginsOf(service))
      if (definition.name === 'cache' && app.hasDecorator(name))
        await app.getDecorator<FastifyInstance['cache']>(name).clear()
    if (app.hasDecorator('rateCounter')) {
      app.rateCounter.clear()
      if (redis) await removeKeys(redis, `{${keys}}:rate:`)
    }
    upstreams?.reset()
  }
  const own: Record<string, unknown> = {
    as: (user: User | string | null) => callers.as(app, user),
    send: callers.as(app, null).send,
    stub: stubs.stub,
    clock,
    reset,
    resetAfter: (t: TestContext) => whenOver(t, reset),
    seed: (options?: SeedOptions) => seedDatabase(service, app, root, options),
  }
  for (const [name, value] of Object.entries(own)) app.decorate(name, value)
  app.decorate('upstreams', {
    getter() {
      if (upstreams) return upstreams
      throw new Error('Other systems are not replaced: say testApp(service, { upstreams: true })')
    },
  })
}

/** Takes away all keys of a Redis that have a text in them. */
async function removeKeys(url: string, text: string): Promise<void> {
  const { Redis } = await import('ioredis')
  const client = new Redis(url, { maxRetriesPerRequest: 1 })
  client.on('error', () => {})
  try {
    for await (const keys of client.scanStream({ match: `*${text}*`, count: 1000 }))
      if (keys.length > 0) await client.unlink(...keys)
  } catch {
    // It is away, and so are they.
  } finally {
    client.disconnect()
  }
}
