import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'
import { unservedLists } from './crud/unserved.ts'
import { describe } from './database/migration/describe.ts'
import { lintMigrations } from './database/migration/lint.ts'
import { draftMigration } from './database/migration/make.ts'
import { type Recorded, readMigrations } from './database/migration/snapshot.ts'
import { createMigrator } from './database/migrator.ts'
import type { Model } from './database/model/model.ts'
import type { PluginFolder } from './database/numbered.ts'
import type { ServiceDefinition } from './define-service.ts'
import { PlinthError } from './errors.ts'
import { foldersOf, pluginsOf } from './kit.ts'
import { type PluginFinding, runChecks } from './plugin.ts'
import { checkReadiness } from './process/readiness.ts'
import { findCostly } from './resource/costly.ts'
import { ofDocument } from './resource/schema-document.ts'
import { createApp } from './service.ts'

/** One thing that was looked at. */
export interface Finding extends PluginFinding {
  /** `configuration`, `app`, `attached`, `requests`, `migrations`, `models`, `lint`, `lists`, `production`, or the name of a plugin. */
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
      ...(await checkModels(loaded)),
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
  return (
    [...registry]
      // What another system performs no client can ask for, and it may be large.
      .filter(({ runsHere, resource }) => runsHere && !ofDocument(resource.request))
      .flatMap(({ resource, name }) =>
        findCostly(compiled.of(resource).request).map(({ path, problem }) => ({
          check: 'requests',
          level: 'warning',
          message: `${name}: ${path || 'the request'}: ${problem}`,
        })),
      )
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

/** Where the models of the service, or of a plugin, are not what its migrations lead to. */
async function checkModels({ root, service }: Checked): Promise<Finding[]> {
  const directory = join(root, 'migrations')
  const { models } = service
  const found: Finding[] = []
  if (models && existsSync(directory)) {
    const plugins = foldersOf(service, 'migrations')
    const read = () => readMigrations(directory, plugins)
    found.push(...(await compareModels(read, models, '')))
  }
  for (const definition of new Set(pluginsOf(service).map(({ definition }) => definition))) {
    const { name, migrations, models = [] } = definition
    if (!migrations) continue
    const read = () => readMigrations(fileURLToPath(migrations))
    found.push(...(await compareModels(read, models, name)))
  }
  return found
}

/** @param plugin whose they are; none: the service's */
async function compareModels(
  read: () => Promise<Recorded>,
  models: readonly Model[],
  plugin: string,
): Promise<Finding[]> {
  try {
    const wanted = Object.fromEntries(models.map(({ table, state }) => [table, state]))
    const draft = draftMigration(await read(), wanted, {})
    if (!draft) return []
    const whose = plugin ? ` of the plugin ${plugin}` : ''
    const what = draft.operations.map(describe).join('; ')
    const remedy = `run manage makemigrations${plugin && ` --plugin ${plugin}`}`
    const message = `the models${whose} and the migrations differ: ${what}; ${remedy}`
    return [{ check: 'models', level: 'warning', message }]
  } catch (error) {
    return [failed('models', error)]
  }
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
