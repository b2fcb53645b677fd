import { join } from 'node:path'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import fp from 'fastify-plugin'
import { type DefaultValues, mapEnvironments } from './config/defaults.ts'
import { type Config, readConfig } from './config/read.ts'
import type { KitConfig } from './config/schema.ts'
import { assertKeys, type ServiceDefinition } from './define-service.ts'
import { errors, PlinthError } from './errors.ts'
import { useStrictJson } from './http/body.ts'
import { chooseEnvelope } from './http/compat.ts'
import { giveContext } from './http/request-context.ts'
import { VersionedPaths } from './http/versions.ts'
import { configOwners, defaultsOfAll, kitPlugins, modelsOf, modulesOf, pluginsOf } from './kit.ts'
import { attachPlugin, envOf, instanceOf, type PluginInstance, variableOf } from './plugin.ts'
import { inOrder, type Placed } from './plugin-order.ts'
import type { BoundTable } from './resource/bound-table.ts'
import { type ModuleTable, parseModules, type Resources } from './resource/module.ts'

// With the types of a service come those of what its app has.
export type {} from '../plugins/admin.ts'
export type {} from '../plugins/auth.ts'
export type {} from '../plugins/cache.ts'
export type {} from '../plugins/config.ts'
export type {} from '../plugins/contract.ts'
export type {} from '../plugins/cors.ts'
export type {} from '../plugins/database.ts'
export type {} from '../plugins/deadline.ts'
export type {} from '../plugins/developer.ts'
export type {} from '../plugins/docs.ts'
export type {} from '../plugins/envelope.ts'
export type {} from '../plugins/health.ts'
export type {} from '../plugins/idempotency.ts'
export type {} from '../plugins/languages.ts'
export type {} from '../plugins/load-shedding.ts'
export type {} from '../plugins/queues.ts'
export type {} from '../plugins/rate-limit.ts'
export type {} from '../plugins/redis.ts'
export type {} from '../plugins/request-log.ts'
export type {} from '../plugins/resources.ts'
export type {} from '../plugins/security-headers.ts'
export type {} from '../plugins/tasks.ts'
export type {} from '../plugins/telemetry.ts'
export type {} from '../plugins/upstream.ts'

/**
 * Reads the configuration of a service.
 *
 * @throws {PlinthError} CONFIG_INVALID
 */
export function readServiceConfig(
  service: ServiceDefinition,
  { root = process.cwd(), env, dotenv = true }: AppOptions = {},
): Config<KitConfig> {
  return readConfig<KitConfig>(configOwners(service), {
    ...(env && { env }),
    defaults: defaultsOfAll(service),
    dotenv: dotenv && join(root, '.env'),
  })
}

/**
 * The modules of a service that a process runs; `undefined`: all. Of the configuration only that is read.
 *
 * @throws {PlinthError} CONFIG_INVALID
 */
export function readModules(
  service: ServiceDefinition,
  root: string,
): readonly string[] | undefined {
  const { defaults = {} } = service
  const owners = configOwners(service).filter(({ owner }) => owner === 'resources')
  const of = ({ PLINTH_MODULES }: DefaultValues = {}) => ({ PLINTH_MODULES })
  const { values } = readConfig<KitConfig>(owners, {
    dotenv: join(root, '.env'),
    defaults: mapEnvironments((environment) => of(defaults[environment])),
  })
  return parseModules(values.PLINTH_MODULES)
}

export interface AppOptions {
  /** The service's folder: relative paths and `.env` start here; default: the working folder. */
  root?: string
  /** The file whose default export the service is: for tasks that run in a thread (`task: { thread: true }`), which loads it anew. */
  file?: string
  /** Default: `process.env`. */
  env?: NodeJS.ProcessEnv
  /** Whether `.env` is read; default true. */
  dotenv?: boolean
  /** Where log lines go; default: by LOG_LEVEL, pretty on a terminal; `false`: nowhere. */
  logger?: FastifyServerOptions['logger']
  /** Called before the plugins are loaded: to add hooks that see all of them. */
  prepare?: (app: FastifyInstance) => void
  /** The names of the plugins that are attached, with those that they need, and no others; default: all. */
  only?: readonly string[]
  /** What other options plugins of the kit get than those that follow from the configuration, by name. */
  override?: Readonly<Record<string, object>>
}

/** A service's Fastify app, with its own resources typed where its modules are known. */
export type App<Modules extends ModuleTable = ModuleTable> = Omit<FastifyInstance, 'resources'> & {
  resources: string extends keyof Modules ? BoundTable : Resources<Modules>
}

/**
 * Builds the app of a service, its plugins loaded: nothing listens, exits or handles signals yet.
 *
 * @throws {PlinthError} SERVICE_INVALID, CONFIG_INVALID, and whatever a plugin throws; nothing is left open then
 */
export async function createApp<Modules extends ModuleTable>(
  service: ServiceDefinition<Modules>,
  options: AppOptions = {},
): Promise<App<Modules>> {
  const { root = process.cwd(), file, only, override } = options
  assertKeys(service)
  const read = readServiceConfig(service, { ...options, root })
  const { default: Fastify } = await import('fastify')
  const { serverOptions } = await import('./process/server-options.ts')
  const versions = service.versions && new VersionedPaths(service.versions)
  const settings = await serverOptions(
    service.name,
    read.values,
    chooseEnvelope(service),
    options.logger,
  )
  if (versions) settings.rewriteUrl = ({ url = '', headers }) => versions.urlOf(url, headers)
  const app = Fastify(settings)
  giveContext(app)
  if (versions)
    app.addHook('onRequest', function tellCaches({ originalUrl }, reply, done) {
      if (versions.isVersioned(originalUrl)) reply.header('vary', versions.header)
      done()
    })
  // Of an app that never listens nobody is a slow reader.
  app.addHook('onListen', async () => {
    const { endSlowReaders } = await import('./process/slow-readers.ts')
    endSlowReaders(app)
  })
  options.prepare?.(app)
  try {
    useStrictJson(app)
    const planned = planPlugins(service, read, root, undefined, file)
    for (const { attach } of choose(attachments(service, planned, read, override), planned, only))
      attach(app)
    if (!only) tellAbsent(app, planned)
    app.after(() => answerNotFound(app))
    if (!only && read.values.NODE_ENV === 'development') app.addHook('onListen', warnOfLists)
    // An app is a thenable: this loads its plugins, as returning it from here would, too.
    await app
    if (app.registry) versions?.learn(app.registry)
  } catch (error) {
    // What fails while it is closed is not why there is no app.
    await app
      .close()
      .catch((err: unknown) =>
        app.log.error({ err }, 'an app that failed to start could not be closed'),
      )
    throw error
  }
  return app as unknown as App<Modules>
}

/** A plugin of a service, and what follows for it from the configuration. */
export interface PlannedPlugin {
  readonly instance: PluginInstance
  /** What it is attached with. */
  readonly options?: object
  /** It is not attached, and this has to be done for it to be. An error: nobody has asked for it, and something is missing. */
  readonly absent?: string | PlinthError
}

/** What a service has of its plugins and of the kit's, or of some of them, by its configuration. */
export function planPlugins(
  service: ServiceDefinition,
  read: Config<KitConfig>,
  root: string,
  instances: readonly PluginInstance[] = pluginsOf(service),
  file?: string,
): PlannedPlugin[] {
  const given = {
    read,
    service,
    root,
    file,
    modules: modulesOf(service),
    models: modelsOf(service),
  }
  const origins = new Map(read.variables.map(({ name, origin }) => [name, origin]))
  const values = read.values as object as Readonly<Record<string, unknown>>
  return instances.map((instance) => {
    const { definition, name } = instance
    const named = (variable: string) => variableOf(instance, variable)
    const isDefault = (variable: string) => origins.get(named(variable)) === 'derived'
    const env = envOf(instance, values)
    const options = definition.options?.({ ...given, name, env, named, isDefault }) ?? {}
    if (typeof options === 'string' || PlinthError.is(options)) return { instance, absent: options }
    return { instance, options: { ...options, ...instance.options } }
  })
}

/** Something that is attached: a plugin by `definePlugin`, or any of Fastify. */
interface Attachment extends Placed {
  attach(app: FastifyInstance): void
}

/** What of a plan is attached, and the service's other plugins, all of them before its resources. */
function attachments(
  service: ServiceDefinition,
  planned: readonly PlannedPlugin[],
  { values }: Config<KitConfig>,
  override: AppOptions['override'] = {},
): Attachment[] {
  const known = ({ instance, options }: PlannedPlugin): Attachment[] => {
    if (!options) return []
    const { name, definition } = instance
    const whole = { ...instance, options: { ...options, ...override[name] } }
    const attach = (app: FastifyInstance) => attachPlugin(app, whole, { ...values })
    return [{ ...definition, name, attach: (app) => void app.register(fp(attach, { name })) }]
  }
  const own = (service.plugins ?? []).flatMap((plugin): Attachment[] => {
    const one = planned.find(({ instance }) => instance === instanceOf(plugin))
    if (one) return known(one)
    return [{ name: nameOf(plugin), attach: (app) => void app.register(plugin) }]
  })
  const kit = planned.filter(({ instance }) => kitPlugins.includes(instance)).flatMap(known)
  const isLast = ({ name }: Attachment) => name === 'resources'
  const all = [...kit, ...own]
  return [...all.filter((one) => !isLast(one)), ...all.filter(isLast)]
}

/**
 * Those of `only`, where they are attached at all, with those that they need; in order.
 *
 * @throws {PlinthError} PLUGIN_MISSING, PLUGIN_CIRCLE
 */
function choose(
  all: readonly Attachment[],
  planned: readonly PlannedPlugin[],
  only: readonly string[] | undefined,
): Attachment[] {
  const howToAttach = (name: string): string => {
    const absent = planned.find(({ instance }) => instance.name === name)?.absent
    return String(
      PlinthError.is(absent) ? absent.message : (absent ?? 'add it to plugins of the service'),
    )
  }
  if (!only) return inOrder(all, howToAttach)
  const wanted = new Set(['config', ...only])
  // What is added to a set while it is walked through is come to, too.
  for (const name of wanted) {
    const one = all.find((one) => one.name === name)
    if (!one && !planned.some(({ instance }) => instance.name === name))
      throw errors.PLUGIN_MISSING('createApp', name, howToAttach(name))
    for (const need of one?.needs ?? []) wanted.add(need)
  }
  return inOrder(
    all.filter(({ name }) => wanted.has(name)),
    howToAttach,
  )
}

/** What others call a plugin that is not by `definePlugin`: what fastify-plugin was told, or nothing. */
function nameOf(plugin: object): string {
  const { name = '' } = (plugin as { [META]?: { name?: string } })[META] ?? {}
  return name
}

const META = Symbol.for('plugin-meta')

/** Tells of what only a default has turned on, and is not there since it lacks something. */
function tellAbsent({ log }: FastifyInstance, planned: readonly PlannedPlugin[]): void {
  for (const { instance, absent } of planned)
    if (PlinthError.is(absent))
      log.info({ plugin: instance.name }, `started without it: ${absent.message}`)
}

/** Where a developer sees it: what clients may ask of lists and no index serves. */
async function warnOfLists(this: FastifyInstance): Promise<void> {
  if (!this.hasDecorator('db')) return
  const { unservedLists } = await import('./crud/unserved.ts')
  for (const message of await unservedLists(this.db, this.registry)) this.log.warn(message)
}

function answerNotFound(app: FastifyInstance): void {
  if (!app.hasDecorator('answerNotFound')) return
  try {
    app.setNotFoundHandler(app.answerNotFound)
  } catch {
    // A plugin of the service answers what is not found: the one reason for which this throws.
  }
}
