import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { unservedLists } from './crud/unserved.ts'
import { lintMigrations } from './database/migration/lint.ts'
import { readMigrations } from './database/migration/snapshot.ts'
import { createMigrator } from './database/migrator.ts'
import { PlinthError } from './errors.ts'
import { checkReadiness } from './process/readiness.ts'
import { findCostly } from './resource/costly.ts'
import { createApp, type ServiceDefinition } from './service.ts'

/** One thing that was looked at. */
export interface Finding {
  check:
    | 'configuration'
    | 'app'
    | 'attached'
    | 'tasks'
    | 'migrations'
    | 'lint'
    | 'lists'
    | 'requests'
    | 'production'
  level: 'ok' | 'warning' | 'error'
  message: string
}

/** Looks at everything that has to be right before a service runs; changes nothing. */
export async function checkService(loaded: {
  root: string
  service: ServiceDefinition
}): Promise<Finding[]> {
  let app: FastifyInstance
  try {
    const options = { root: loaded.root, logger: false as const }
    app = (await createApp(loaded.service, options)) as unknown as FastifyInstance
  } catch (error) {
    const bad = PlinthError.is(error) && error.code === 'CONFIG_INVALID'
    return [failed(bad ? 'configuration' : 'app', error)]
  }
  try {
    await app.ready()
    return [
      { check: 'configuration', level: 'ok', message: 'every variable is valid' },
      { check: 'app', level: 'ok', message: describeResources(app) },
      ...checkRequests(app),
      ...(await checkAttached(app)),
      ...(await checkQueues(app)),
      ...(await checkMigrations(app, loaded.root)),
      ...(await checkLists(app)),
      ...(await checkProduction(app)),
    ]
  } catch (error) {
    return [failed('app', error)]
  } finally {
    await app.close()
  }
}

function failed(check: Finding['check'], error: unknown): Finding {
  const code = PlinthError.is(error) ? `${error.code}: ` : ''
  return { check, level: 'error', message: `${code}${(error as Error).message}` }
}

function describeResources({ registry }: FastifyInstance): string {
  const all = [...registry]
  const here = all.filter(({ runsHere }) => runsHere)
  if (here.length === all.length) return `${all.length} resources can be served`
  return `${here.length} of ${all.length} resources run here, as PLINTH_MODULES says`
}

/** What a client may make the service work on for long. */
function checkRequests({ compiled, registry }: FastifyInstance): Finding[] {
  return [...registry]
    .filter(({ runsHere }) => runsHere)
    .flatMap(({ resource, name }) =>
      findCostly(compiled.of(resource).request).map(({ path, problem }) => ({
        check: 'requests',
        level: 'warning',
        message: `${name}: ${path || 'the request'}: ${problem}`,
      })),
    )
}

async function checkAttached(app: FastifyInstance): Promise<Finding[]> {
  const { checks } = await checkReadiness(app.readiness, false, 5000)
  return Object.entries(checks).map(([name, { ok, optional, latency_ms, problem }]) => ({
    check: 'attached',
    level: ok ? 'ok' : optional ? 'warning' : 'error',
    message: ok ? `${name} answers in ${latency_ms} ms` : `${name}: ${problem}`,
  }))
}

/** Whether all that waits in Redis is in queues that the workers of this service work on. */
async function checkQueues({ tasks }: FastifyInstance): Promise<Finding[]> {
  const driver = await tasks.driver()
  if (driver.kind === 'memory') return []
  // A Redis that does not answer is told above.
  const known = await driver.queues().catch(() => undefined)
  if (!known) return []
  const found: Finding[] = []
  for (const queue of known.filter((name) => !tasks.queues.has(name))) {
    const { waiting, delayed } = await driver.counts(queue)
    if (waiting + delayed === 0) continue
    const message = `${waiting + delayed} tasks wait in the queue ${queue}, which the service does not declare: no worker of it runs them`
    found.push({ check: 'tasks', level: 'warning', message })
  }
  if (found.length > 0) return found
  return [{ check: 'tasks', level: 'ok', message: `queues: ${[...tasks.ownQueues].join(', ')}` }]
}

async function checkMigrations(app: FastifyInstance, root: string): Promise<Finding[]> {
  const directory = join(root, 'migrations')
  if (!existsSync(directory)) return []
  if (!app.db) return await lintFolder(directory)
  const pending = await createMigrator({ db: app.db, directory }).pending()
  const applied: Finding =
    pending.length === 0
      ? { check: 'migrations', level: 'ok', message: 'every migration is applied' }
      : { check: 'migrations', level: 'error', message: `not applied: ${pending.join(', ')}` }
  return [applied, ...(await lintFolder(directory, pending))]
}

/** @param names the migrations to look at: what is applied does no harm any more; default: all */
async function lintFolder(directory: string, names?: readonly string[]): Promise<Finding[]> {
  try {
    const { migrations } = await readMigrations(directory)
    const found = lintMigrations(migrations, ({ name }) => names?.includes(name) ?? true)
    return found.map(([{ name }, { code, place, problem, remedy }]) => ({
      check: 'lint',
      level: 'warning',
      message: `${name}: ${code} ${place}: ${problem} ${remedy}`,
    }))
  } catch (error) {
    return [failed('migrations', error)]
  }
}

/** What clients may ask of lists and no index serves. */
async function checkLists({ db, registry }: FastifyInstance): Promise<Finding[]> {
  if (!db) return []
  const found = await unservedLists(db, registry)
  return found.map((message) => ({ check: 'lists', level: 'warning', message }))
}

/** What is unwise in production. */
async function checkProduction(app: FastifyInstance): Promise<Finding[]> {
  if (app.config.NODE_ENV !== 'production') return []
  return [...checkConfiguration(app), ...(await checkRedis(app))]
}

function warn(message: string): Finding {
  return { check: 'production', level: 'warning', message }
}

/** Whether what the service caches and enqueues is kept, and for all processes. */
async function checkRedis({ config, redis, registry }: FastifyInstance): Promise<Finding[]> {
  if (!config.REDIS_URL) {
    const uses = Array.from(registry, ({ resource }) => resource.definition)
    if (!uses.some(({ cache, task, schedule }) => cache || task || schedule)) return []
    return [
      warn('REDIS_URL is not set: tasks and cached results are in the memory of each process'),
    ]
  }
  const info = await redis.info().catch(() => undefined)
  // What does not answer is told above.
  if (info === undefined) return []
  const says = (line: string) => info.includes(`${line}\r\n`)
  return [
    ...(says('maxmemory_policy:noeviction')
      ? []
      : [warn('the maxmemory-policy of Redis is not noeviction: it may forget tasks')]),
    ...(says('aof_enabled:1')
      ? []
      : [warn('Redis keeps no append-only file (appendonly yes): a restart may lose tasks')]),
  ]
}

function checkConfiguration({ config }: FastifyInstance): Finding[] {
  return [
    ...(config.DATABASE_URL?.startsWith('sqlite:')
      ? [warn('the database is a SQLite file: it is not shared between machines')]
      : []),
    ...(config.DOCS ? [warn('DOCS is on: anybody can read the API document')] : []),
    ...(['trace', 'debug'].includes(config.LOG_LEVEL)
      ? [warn(`LOG_LEVEL is ${config.LOG_LEVEL}: logs will be large`)]
      : []),
  ]
}
