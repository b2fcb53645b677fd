import { join } from 'node:path'
import type {
  FastifyInstance,
  FastifyPluginAsync,
  FastifyPluginCallback,
  FastifyServerOptions,
  onRequestAsyncHookHandler,
} from 'fastify'
import Type, { type TObject } from 'typebox'
import type { DefaultValues, EnvironmentDefaults } from './config/defaults.ts'
import { type Config, type ConfigOwner, readConfig } from './config/read.ts'
import { type KitConfig, kitOwnerOf, type ServiceConfig } from './config/schema.ts'
import type { Model } from './database/model/model.ts'
import { useStrictJson } from './http/body.ts'
import type { Encoding } from './http/decompress.ts'
import { type EnvelopeName, envelopes } from './http/envelope.ts'
import { giveContext } from './http/request-context.ts'
import type { BoundTable } from './resource/bound.ts'
import type { Identify, LoadUser } from './resource/context.ts'
import type { Authorize } from './resource/execute.ts'
import { type ModuleTable, moduleNames, parseModules, type Resources } from './resource/module.ts'
import type { SecurityInfo } from './resource/security.ts'

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

/** Paths of the kit's own routes; `false`: that one is not there. */
export interface KitRoutes {
  /** Default `/ping`. */
  ping?: string | false
  /** Default `/healthz`. */
  healthz?: string | false
  /** Default `/readyz`. */
  readyz?: string | false
  /** Where tasks are looked up and cancelled by their ids; default `/tasks`. */
  tasks?: string | false
  /** The page of the API document, which DOCS turns on; default `/docs`. */
  docs?: string | false
  /** The API document, without which there is no page either; default `/openapi.json`. */
  openapi?: string | false
  /** The page of the queues, which QUEUES turns on; default `/_/queues`. */
  queues?: string | false
}

/** What a service is made of. */
export interface ServiceDefinition<Modules extends ModuleTable = ModuleTable> extends SecurityInfo {
  /** Lower case words joined by `-`; names the service in logs and in the API document. */
  name: string
  /** Shown in the API document; default `0.0.0`. */
  version?: string
  description?: string
  /** The variables of the environment that are its own, joined to the kit's. */
  env?: TObject
  /**
   * What variables are where nothing sets them, its own and the kit's, by environment: `dev`, `stag` or `prod`, as
   * BKPAAS_ENVIRONMENT says, else `prod` where NODE_ENV is `production`, else `dev`. Tests (NODE_ENV `test`) have none.
   */
  defaults?: EnvironmentDefaults<Partial<KitConfig & ServiceConfig> & DefaultValues>
  modules: Modules
  /** Its tables: what `manage makemigrations` compares with the migrations, and `app.db` knows of. */
  models?: readonly Model[]
  /** The id that audit columns get where no user is known: outside of requests, and in those of nobody. */
  actor?: () => string | undefined
  /**
   * Who makes a request. Default: `request.user`, as a hook of the service has put it there, with its `id`, else its `sub`
   * (`@fastify/jwt`'s claims). Where ids are unique only within a tenant, the tenant has to be in them.
   */
  identify?: Identify
  /**
   * Decides whether a call of a resource may be made, by its user, input and name; throws what the caller is told. It is asked
   * first, whichever way the call comes: a route, in process, in bulk, a task when it is added and when it runs. Default: each may.
   */
  authorize?: Authorize
  /** Makes the user of a task in the worker; without it no task can be enqueued for a user. */
  loadUser?: LoadUser
  /** Whether clients may have any resource run as a task, where neither it nor its module says it; default false. */
  async?: boolean
  /** The service's own Fastify plugins, registered before the modules. */
  plugins?: readonly (FastifyPluginAsync | FastifyPluginCallback)[]
  /** The form of every answer; default `standard`. */
  envelope?: EnvelopeName
  /** Reads compressed bodies, up to BODY_LIMIT bytes of what comes out; default: they are answered with 415. */
  decompress?: true | readonly Encoding[]
  /** Where the kit's own routes are: to move one, or to leave it out. Default: each at its place. */
  routes?: KitRoutes
  /** `/_/queues`, which QUEUES turns on: in production only behind a hook that refuses strangers. */
  queues?: { protect: onRequestAsyncHookHandler }
  /** Queues beside `default`, those of `limits` and those that resources name in `task.queue`. */
  taskQueues?: readonly string[]
  /** How many tasks of a queue start at most in how many ms, in all processes together. */
  limits?: Readonly<Record<string, { max: number; duration: number }>>
}

/** Defines a service: the default export of its `src/service.ts`. */
export function defineService<const Modules extends ModuleTable>(
  definition: ServiceDefinition<Modules>,
): ServiceDefinition<Modules> {
  return definition
}

/** Whose variables make up the configuration of a service: the kit's and its own. */
export function configOwners({ name, env, modules }: ServiceDefinition): ConfigOwner[] {
  const kit = kitOwnerOf(moduleNames(modules))
  return env ? [kit, { owner: name, schema: env }] : [kit]
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
    ...(service.defaults && { defaults: service.defaults }),
    dotenv: join(root, '.env'),
  })
}

/**
 * The modules of a service that a process runs; `undefined`: all. Of the configuration only that is read.
 *
 * @throws {PlinthError} CONFIG_INVALID
 */
export function readModules(
  { modules, defaults = {} }: ServiceDefinition,
  root: string,
): readonly string[] | undefined {
  const { owner, schema } = kitOwnerOf(moduleNames(modules))
  const { PLINTH_MODULES, BKAPP_DEPLOY_MODULE } = schema.properties
  const owners = [{ owner, schema: Type.Object({ PLINTH_MODULES, BKAPP_DEPLOY_MODULE }) }]
  const of = (one: DefaultValues = {}) => ({ PLINTH_MODULES: one.PLINTH_MODULES })
  const { dev, stag, prod } = defaults
  const { values } = readConfig<KitConfig>(owners, {
    dotenv: join(root, '.env'),
    defaults: { dev: of(dev), stag: of(stag), prod: of(prod) },
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
  const root = options.root ?? process.cwd()
  const read = readServiceConfig(service, { ...options, root })
  const envelope = envelopes[service.envelope ?? 'standard']
  const { default: Fastify } = await import('fastify')
  const { serverOptions } = await import('./process/server-options.ts')
  const app = Fastify(await serverOptions(service.name, read.values, envelope, options.logger))
  giveContext(app)
  options.prepare?.(app)
  try {
    await registerPlugins(app, service, read, root)
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

// Loaded here and not at the top: what only defines a service, or reads its configuration, needs none.
async function registerPlugins(
  app: FastifyInstance,
  service: ServiceDefinition,
  read: Config<KitConfig>,
  root: string,
): Promise<void> {
  const { values } = read
  const { routes: { ping, healthz, readyz, ...routes } = {} } = service
  const { modules, identify, authorize, async = false, envelope = 'standard' } = service
  app.register(await plugin(import('../plugins/config.ts')), { config: read })
  app.register(await plugin(import('../plugins/request-log.ts')))
  app.register(await plugin(import('../plugins/envelope.ts')), { envelope, notFound: false })
  useStrictJson(app)
  const { decompress } = service
  if (decompress) {
    const options = decompress === true ? {} : { encodings: decompress }
    app.register(await plugin(import('../plugins/decompress.ts')), options)
  }
  // Before all that has routes: it describes what comes after it.
  if (values.DOCS && routes.openapi !== false)
    app.register(await plugin(import('../plugins/docs.ts')), documentInfo(service))
  app.register(await plugin(import('../plugins/health.ts')), {
    envelope,
    ...(ping !== undefined && { ping }),
    ...(healthz !== undefined && { healthz }),
    ...(readyz !== undefined && { readyz }),
  })
  // After what is always quick: only what comes after it is bounded.
  const timeout = values.REQUEST_TIMEOUT
  app.register(await plugin(import('../plugins/deadline.ts')), { timeout })
  const attached = databaseOptions(values, service, root)
  if (attached) app.register(await plugin(import('../plugins/database.ts')), attached)
  const { REDIS_URL: url } = values
  if (url) {
    const commandTimeout = values.REDIS_TIMEOUT
    app.register(await plugin(import('../plugins/redis.ts')), { url, commandTimeout })
  }
  app.register(await plugin(import('../plugins/cache.ts')), {
    prefix: service.name,
    maxBytes: values.CACHE_MEMORY,
  })
  const prefix = `{${service.name}}:tasks`
  app.register(await plugin(import('../plugins/tasks.ts')), {
    envelope,
    ...(routes.tasks !== undefined && { path: routes.tasks }),
    prefix,
    payloadLimit: values.TASK_PAYLOAD_LIMIT,
    concurrency: values.TASK_CONCURRENCY,
    maxCrashes: values.TASK_MAX_CRASHES,
    ...(service.taskQueues && { queues: service.taskQueues }),
    ...(service.limits && { limits: service.limits }),
    ...(service.loadUser && { loadUser: service.loadUser }),
    // The rest is for the connections.
    stopTimeout: values.SHUTDOWN_TIMEOUT * 0.8,
  })
  if (url && values.QUEUES && routes.queues !== false) {
    const title = `Tasks of ${service.name}`
    const path = routes.queues ?? '/_/queues'
    const page = { title, path, prefix, protected: values.NODE_ENV === 'production' }
    app.register(await plugin(import('../plugins/queues.ts')), { ...page, ...service.queues })
  }
  for (const own of service.plugins ?? []) app.register(own)
  const strict = values.NODE_ENV !== 'production'
  const only = parseModules(values.PLINTH_MODULES)
  app.register(await plugin(import('../plugins/resources.ts')), {
    modules,
    ...(only && { only }),
    envelope,
    strict,
    timeout,
    async,
    ...(identify && { identify }),
    ...(authorize && { authorize }),
  })
  app.after(() => answerNotFound(app))
  if (attached && values.NODE_ENV === 'development') app.addHook('onListen', warnOfLists)
}

/** Where a developer sees it: what clients may ask of lists and no index serves. */
async function warnOfLists(this: FastifyInstance): Promise<void> {
  const { unservedLists } = await import('./crud/unserved.ts')
  for (const message of await unservedLists(this.db, this.registry)) this.log.warn(message)
}

function answerNotFound(app: FastifyInstance): void {
  try {
    app.setNotFoundHandler(app.answerNotFound)
  } catch {
    // A plugin of the service answers what is not found: the one reason for which this throws.
  }
}

async function plugin<T>(module: Promise<{ default: T }>): Promise<T> {
  return (await module).default
}

function databaseOptions(values: KitConfig, { models, actor }: ServiceDefinition, root: string) {
  if (!values.DATABASE_URL) return undefined
  return {
    url: values.DATABASE_URL,
    root,
    ...(models && { models }),
    ...(actor && { actor }),
    poolSize: values.DATABASE_POOL_SIZE,
    queueLimit: values.DATABASE_QUEUE_LIMIT,
    connectTimeout: values.DATABASE_CONNECT_TIMEOUT,
    acquireTimeout: values.DATABASE_ACQUIRE_TIMEOUT,
    queryTimeout: values.DATABASE_QUERY_TIMEOUT,
    slowQuery: values.DATABASE_SLOW_QUERY,
  }
}

function documentInfo(service: ServiceDefinition) {
  const { name, version = '0.0.0', description, envelope, security, securitySchemes } = service
  const { openapi, docs } = service.routes ?? {}
  return {
    ...(openapi && { document: openapi }),
    ...(docs !== undefined && { page: docs }),
    ...(security && { security }),
    ...(securitySchemes && { securitySchemes }),
    title: name,
    version,
    ...(description && { description }),
    envelope: envelope ?? ('standard' as const),
  }
}
