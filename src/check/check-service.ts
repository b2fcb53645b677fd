import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { unservedLists } from '../crud/unserved.ts'
import { lintMigrations } from '../database/migration/lint.ts'
import { readMigrations } from '../database/migration/loader.ts'
import { createMigrator, type MigrationStatus } from '../database/migration/migrator.ts'
import { describe } from '../database/migration/operations/index.ts'
import type { PluginFolder } from '../database/numbered.ts'
import { withTablesOf } from '../database/own-tables.ts'
import type { ServiceDefinition } from '../define-service.ts'
import { PlinthError } from '../errors.ts'
import { type FindingCode, found } from '../findings.ts'
import { foldersOf } from '../kit.ts'
import { runChecks } from '../plugin.ts'
import { checkReadiness } from '../process/readiness.ts'
import { findCostly } from '../schema/costly.ts'
import { ofDocument } from '../schema/document.ts'
import { createApp } from '../service.ts'
import { checkDeployment, type Platform } from './deployment.ts'
import { type ModelSource, missingOperations, modelSources, tableDrift } from './drift.ts'
import { acceptFindings, type Finding } from './finding.ts'
import { checkOpenRoutes, checkTaskUsers, RouteWatch } from './routes.ts'

interface Checked {
  root: string
  service: ServiceDefinition
}

/**
 * Looks at everything that has to be right before a service runs; changes nothing.
 *
 * @param platform where it is deployed: what only matters there is looked at, too
 */
export async function checkService(loaded: Checked, platform?: Platform): Promise<Finding[]> {
  const all = await findAll(loaded, platform)
  return acceptFindings(all, loaded.service.check?.accept)
}

async function findAll(loaded: Checked, platform: Platform | undefined): Promise<Finding[]> {
  let app: FastifyInstance
  const watch = new RouteWatch()
  try {
    app = (await createApp(loaded.service, {
      root: loaded.root,
      logger: false,
      prepare: (app) => watch.begin(app),
    })) as unknown as FastifyInstance
  } catch (error) {
    const bad = PlinthError.is(error) && error.code === 'CONFIG_INVALID'
    return [bad ? failed('configuration-invalid', error) : failed('app-broken', error)]
  }
  try {
    await app.ready()
    const isProduction = platform !== undefined || app.config.NODE_ENV === 'production'
    return [
      { check: 'configuration', level: 'ok', message: 'every variable is valid' },
      { check: 'app', level: 'ok', message: describeResources(app) },
      ...checkRequests(app),
      ...(await checkAttached(app)),
      ...checkTaskUsers(watch, loaded.service),
      ...(isProduction ? checkOpenRoutes(watch, loaded.service) : []),
      ...(await runChecks(app, isProduction)),
      ...(await checkMigrations(app, loaded, platform !== undefined)),
      ...(await checkModels(loaded)),
      ...(await checkLists(app)),
      ...(isProduction ? checkLevel(app) : []),
      ...(platform ? checkDeployment({ app, watch, platform, ...loaded }) : []),
    ]
  } catch (error) {
    return [failed('app-broken', error)]
  } finally {
    await app.close()
  }
}

const CHECKS = {
  'configuration-invalid': 'configuration',
  'app-broken': 'app',
  'migrations-broken': 'migrations',
  'models-drifted': 'models',
} as const

function failed(code: keyof typeof CHECKS, error: unknown): Finding {
  const prefix = PlinthError.is(error) ? `${error.code}: ` : ''
  const message = `${prefix}${(error as Error).message}`
  return { check: CHECKS[code], ...found(code, message, { level: 'error' }) }
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
          ...found('request-costly', `${name}: ${path || 'the request'}: ${problem}`, {
            subject: name,
          }),
        })),
      )
  )
}

async function checkAttached(app: FastifyInstance): Promise<Finding[]> {
  const { checks } = await checkReadiness(app.readiness, false, 5000)
  return Object.entries(checks).map(([name, { ok, optional, latency_ms, problem }]) => {
    if (ok)
      return { check: 'attached', level: 'ok', message: `${name} answers in ${latency_ms} ms` }
    const others = { subject: name, level: optional ? 'warning' : 'error' } as const
    return { check: 'attached', ...found('attached-unavailable', `${name}: ${problem}`, others) }
  })
}

/** @param deep whether the tables themselves are looked at, too */
async function checkMigrations(
  app: FastifyInstance,
  { root, service }: Checked,
  deep: boolean,
): Promise<Finding[]> {
  const directory = join(root, 'migrations')
  const plugins = foldersOf(service, 'migrations')
  if (!existsSync(directory) && plugins.length === 0) return []
  if (!app.db) return await lintFolder(directory, plugins)
  const db = withTablesOf(app.db, service)
  const status = await createMigrator({ db, directory, plugins }).status()
  const namesOf = (...states: MigrationStatus['state'][]) =>
    status.filter(({ state }) => states.includes(state)).map(({ name }) => name)
  const pending = namesOf('pending', 'interrupted')
  const told = (code: FindingCode, what: string, names: readonly string[]): Finding[] =>
    names.length === 0
      ? []
      : [{ check: 'migrations', ...found(code, `${what}: ${names.join(', ')}`) }]
  // What is not applied yet is no reason not to look at what is.
  const isKnown = namesOf('interrupted', 'changed', 'missing').length === 0
  const problems = [
    ...told('migrations-pending', 'not applied', pending),
    ...told('migrations-interrupted', 'begun and not ended', namesOf('interrupted')),
    ...told('migrations-drifted', 'applied, with another file than now', namesOf('changed')),
    ...told('migrations-drifted', 'applied, and their files are gone', namesOf('missing')),
  ]
  const fine: Finding = {
    check: 'migrations',
    level: 'ok',
    message: 'every migration is applied',
  }
  return [
    ...(problems.length > 0 ? problems : [fine]),
    ...(deep && isKnown ? await checkTables(app, { root, service }) : []),
    ...(await lintFolder(directory, plugins, pending)),
  ]
}

/** Where tables are not what the applied migrations have made; others may be there, too. */
async function checkTables({ db }: FastifyInstance, checked: Checked): Promise<Finding[]> {
  const { drift } = await tableDrift(db, checked)
  return drift.map(({ table, difference }) => ({
    check: 'migrations',
    ...found('database-drifted', difference, { subject: table }),
  }))
}

/** Where the models of the service, or of a plugin, are not what its migrations lead to. */
async function checkModels(checked: Checked): Promise<Finding[]> {
  const all = await Promise.all(modelSources(checked).map(compareModels))
  return all.flat()
}

async function compareModels(source: ModelSource): Promise<Finding[]> {
  const { plugin } = source
  try {
    const operations = await missingOperations(source)
    if (operations.length === 0) return []
    const whose = plugin ? ` of the plugin ${plugin}` : ''
    const what = operations.map(describe).join('; ')
    const remedy = `run manage makemigrations${plugin && ` --plugin ${plugin}`}`
    const message = `the models${whose} and the migrations differ: ${what}; ${remedy}`
    return [{ check: 'models', ...found('models-drifted', message) }]
  } catch (error) {
    return [failed('models-drifted', error)]
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
    const linted = lintMigrations(migrations, isWanted, before)
    return linted.map(([{ name }, { code, place, problem, remedy }]) => {
      const message = `${name}: ${code} ${place}: ${problem} ${remedy}`
      return { check: 'lint', ...found('migration-dangerous', message, { subject: name }) }
    })
  } catch (error) {
    return [failed('migrations-broken', error)]
  }
}

/** What clients may ask of lists and no index serves. */
async function checkLists({ db, registry }: FastifyInstance): Promise<Finding[]> {
  if (!db) return []
  const all = await unservedLists(db, registry)
  return all.map((message) => {
    const subject = message.split(':', 1)[0] as string
    return { check: 'lists', ...found('list-unserved', message, { subject }) }
  })
}

/** What is unwise in production. */
function checkLevel({ config }: FastifyInstance): Finding[] {
  if (!['trace', 'debug'].includes(config.LOG_LEVEL)) return []
  const message = `LOG_LEVEL is ${config.LOG_LEVEL}: logs will be large`
  return [{ check: 'production', ...found('log-verbose', message) }]
}
