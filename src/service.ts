import { join } from 'node:path'
import type { FastifyInstance, FastifyPluginAsync, FastifyServerOptions } from 'fastify'
import fp from 'fastify-plugin'
import Type from 'typebox'
import { type DefaultValues, type EnvironmentDefaults, mapEnvironments } from './config/defaults.ts'
import { type Config, type ConfigOwner, readConfig } from './config/read.ts'
import { type KitConfig, kitOwnerOf } from './config/schema.ts'
import { modulesOf, pluginsOf, type ServiceDefinition } from './define-service.ts'
import { errors } from './errors.ts'
import { useStrictJson } from './http/body.ts'
import { chooseEnvelope } from './http/compat.ts'
import { giveContext } from './http/request-context.ts'
import { kitPlugins } from './kit.ts'
import {
  attachPlugin,
  defaultsOf,
  inOrder,
  instanceOf,
  type Placed,
  variablesOf,
} from './plugin.ts'
import type { BoundTable } from './resource/bound.ts'
import { type ModuleTable, moduleNames, parseModules, type Resources } from './resource/module.ts'

// With the types of a service come those of what its app has.
export type {} from '../plugins/cache.ts'
export type {} from '../plugins/config.ts'
export type {} from '../plugins/database.ts'
export type {} from '../plugins/deadline.ts'
export type {} from '../plugins/envelope.ts'
export type {} from '../plugins/health.ts'
export type {} from '../plugins/redis.ts'
export type {} from '../plugins/request-log.ts'
export type {} from '../plugins/resources.ts'
export type {} from '../plugins/tasks.ts'

/** Whose variables make up the configuration of a service: the kit's, its plugins' and its own. */
export function configOwners(service: ServiceDefinition): ConfigOwner[] {
  const { name, env } = service
  const plugins = pluginsOf(service).flatMap((instance) => {
    const schema = variablesOf(instance)
    return schema ? [{ owner: instance.name, schema }] : []
  })
  const kit = kitOwnerOf(moduleNames(modulesOf(service)))
  return [kit, ...plugins, ...(env ? [{ owner: name, schema: env }] : [])]
}

/** What variables are where nothing sets them: what its plugins say, and what the service says of theirs, too. */
export function defaultsOfAll(service: ServiceDefinition): EnvironmentDefaults {
  return mapEnvironments((environment) =>
    Object.assign(
      {},
      ...pluginsOf(service).map((plugin) => defaultsOf(plugin, environment)),
      service.defaults?.[environment],
    ),
  )
}

/**
 * Reads the configuration of a service.
 *
 * @throws {PlinthError} CONFIG_INVALID
 */
export function readServiceConfig(
  service: ServiceDefinition,
  { root = process.cwd(), env }: AppOptions = {},
): Config<KitConfig> {
  return readConfig<KitConfig>(configOwners(service), {
    ...(env && { env }),
    defaults: defaultsOfAll(service),
    dotenv: join(root, '.env'),
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
  const { owner, schema } = kitOwnerOf(moduleNames(modulesOf(service)))
  const { PLINTH_MODULES, BKAPP_DEPLOY_MODULE } = schema.properties
  const owners = [{ owner, schema: Type.Object({ PLINTH_MODULES, BKAPP_DEPLOY_MODULE }) }]
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
  /** Default: `process.env`. */
  env?: NodeJS.ProcessEnv
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
 * @throws {PlinthError} CONFIG_INVALID, and whatever a plugin throws; nothing is left open then
 */
export async function createApp<Modules extends ModuleTable>(
  service: ServiceDefinition<Modules>,
  options: AppOptions = {},
): Promise<App<Modules>> {
  const { root = process.cwd(), only, override } = options
  const read = readServiceConfig(service, { ...options, root })
  const { default: Fastify } = await import('fastify')
  const { serverOptions } = await import('./process/server-options.ts')
  const app = Fastify(
    await serverOptions(service.name, read.values, chooseEnvelope(service), options.logger),
  )
  giveContext(app)
  options.prepare?.(app)
  try {
    useStrictJson(app)
    for (const { attach } of choose(attachments(service, read, root, override), only))
      await attach(app)
    app.after(() => answerNotFound(app))
    if (!only && read.values.NODE_ENV === 'development') app.addHook('onListen', warnOfLists)
    // An app is a thenable: this loads its plugins, as returning it from here would, too.
    await app
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

/** A plugin of the kit or of a service, and what has it registered. */
interface Attachment extends Placed {
  attach(app: FastifyInstance): Promise<void> | void
}

/** What is attached of the kit by this configuration, and the service's plugins: those before its resources. */
function attachments(
  service: ServiceDefinition,
  read: Config<KitConfig>,
  root: string,
  override: AppOptions['override'] = {},
): Attachment[] {
  const kit = kitPlugins.flatMap((manifest): Attachment[] => {
    const options = manifest.options({ env: read.values, read, service, root })
    if (!options) return []
    const { name } = manifest
    const attach = async (app: FastifyInstance) => {
      // Loaded here and not at the top: what only defines a service, or reads its configuration, needs none.
      const { default: plugin } = await manifest.load()
      app.register(plugin as FastifyPluginAsync<object>, { ...options, ...override[name] })
    }
    return [{ ...manifest, attach }]
  })
  const values = read.values as unknown as Readonly<Record<string, unknown>>
  const own = (service.plugins ?? []).map((plugin): Attachment => {
    const instance = instanceOf(plugin)
    if (!instance) return { name: nameOf(plugin), attach: (app) => void app.register(plugin) }
    const { name, definition } = instance
    const attach = (app: FastifyInstance) =>
      void app.register(fp((app) => attachPlugin(app, instance, values), { name }))
    return { ...definition, name, attach }
  })
  const last = kit.filter(({ name }) => name === 'resources')
  return [...kit.filter((one) => !last.includes(one)), ...own, ...last]
}

/**
 * Those of `only`, where they are attached at all, with those that they need; in order.
 *
 * @throws {PlinthError} PLUGIN_MISSING, PLUGIN_CIRCLE
 */
function choose(all: readonly Attachment[], only: readonly string[] | undefined): Attachment[] {
  if (!only) return inOrder(all, howToAttach)
  const wanted = new Set(['config', ...only])
  // What is added to a set while it is walked through is come to, too.
  for (const name of wanted) {
    const one = all.find((one) => one.name === name)
    if (!one && !kitPlugins.some((kit) => kit.name === name))
      throw errors.PLUGIN_MISSING('createApp', name, howToAttach(name))
    for (const need of one?.needs ?? []) wanted.add(need)
  }
  return inOrder(
    all.filter(({ name }) => wanted.has(name)),
    howToAttach,
  )
}

function howToAttach(name: string): string {
  const { absent = 'add it to plugins of the service' } =
    kitPlugins.find((one) => one.name === name) ?? {}
  return absent
}

/** What others call a plugin that is not by `definePlugin`: what fastify-plugin was told, or nothing. */
function nameOf(plugin: object): string {
  const { name = '' } = (plugin as { [META]?: { name?: string } })[META] ?? {}
  return name
}

const META = Symbol.for('plugin-meta')

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
