import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { unservedLists } from './crud/unserved.ts'
import { lintMigrations } from './database/migration/lint.ts'
import { readMigrations } from './database/migration/snapshot.ts'
import { createMigrator } from './database/migrator.ts'
import type { PluginFolder } from './database/numbered.ts'
import type { ServiceDefinition } from './define-service.ts'
import { PlinthError } from './errors.ts'
import { foldersOf } from './kit.ts'
import { type PluginFinding, runChecks } from './plugin.ts'
import { checkReadiness } from './process/readiness.ts'
import { findCostly } from './resource/costly.ts'
import { createApp } from './service.ts'

/** One thing that was looked at. */
export interface Finding extends PluginFinding {
  /** `configuration`, `app`, `attached`, `requests`, `migrations`, `lint`, `lists`, `production`, or the name of a plugin. */
  readonly check: string
}

interface Checked {
  root: string
  service: ServiceDefinition
}

/** Looks at everything that has to be right before a service runs; changes nothing. */
export async function checkService(loaded: Checked): Promise<Finding[]> {
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
      ...(await runChecks(app, app.config.NODE_ENV === 'production')),
      ...(await checkMigrations(app, loaded)),
      ...(await checkLists(app)),
      ...checkLevel(app),
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

async function checkMigrations(
  app: FastifyInstance,
  { root, service }: Checked,
): Promise<Finding[]> {
  const directory = join(root, 'migrations')
  const plugins = foldersOf(service, 'migrations')
  if (!existsSync(directory) && plugins.length === 0) return []
  if (!app.db) return await lintFolder(directory, plugins)
  const pending = await createMigrator({ db: app.db, directory, plugins }).pending()
  const applied: Finding =
    pending.length === 0
      ? { check: 'migrations', level: 'ok', message: 'every migration is applied' }
      : { check: 'migrations', level: 'error', message: `not applied: ${pending.join(', ')}` }
  return [applied, ...(await lintFolder(directory, plugins, pending))]
}

/** @param names the migrations to look at: what is applied does no harm any more; default: all */
async function lintFolder(
  directory: string,
  plugins: readonly PluginFolder[],
  names?: readonly string[],
): Promise<Finding[]> {
  try {
    const { migrations, before } = await readMigrations(directory, plugins)
    const isWanted = ({ name }: { name: string }) => names?.includes(name) ?? true
    const found = lintMigrations(migrations, isWanted, before)
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
function checkLevel({ config }: FastifyInstance): Finding[] {
  if (config.NODE_ENV !== 'production' || !['trace', 'debug'].includes(config.LOG_LEVEL)) return []
  const message = `LOG_LEVEL is ${config.LOG_LEVEL}: logs will be large`
  return [{ check: 'production', level: 'warning', message }]
}
