import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import { errors } from '../src/errors.ts'
import type { ResourcesOptions as ServeOptions } from '../src/http/serve-resources.ts'
import { definePlugin, type PluginGiven } from '../src/plugin.ts'
import {
  assertFree,
  checkOptions,
  fromEarlier,
  invalidOption,
  isObject,
} from '../src/plugin-guards.ts'
import type { RemoteOptions } from '../src/remote/remote-modules.ts'
import type { BoundTable } from '../src/resource/bound-table.ts'
import type { CompiledResources } from '../src/resource/compiled.ts'
import {
  assertModuleKeys,
  type ModuleTable,
  moduleNames,
  parseModules,
} from '../src/resource/module.ts'
import type { ResourceRegistry } from '../src/resource/registry.ts'
import type { ResponseCheck } from '../src/resource/response-check.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Every resource by module and name, callable from anywhere: a call within a call shares its context. */
    resources: BoundTable
    /** Every resource by its full name, exposed or not. */
    registry: ResourceRegistry
    /** What the schemas of its resources are compiled to. */
    compiled: CompiledResources
    /** What holds responses to their schemas, and counts those that do not fit. */
    responses: ResponseCheck
    /** Runs `fn` in a context of this app, so that resources can be called in it. */
    run<T>(fn: () => T): T
  }
}

declare module '../src/config/schema.ts' {
  interface KitConfig extends Env {}
}

// The type of `routeOptions.config.resource`.
export type {} from '../src/http/route.ts'

export interface ResourcesOptions extends ServeOptions {
  /** How the modules are called that other processes perform; default: as nobody, for 10 s at most. */
  remote?: RemoteOptions
}

const REMOTE = '\\s*[^\\s=,]+=https?://[^\\s=,]+\\s*'

const env = Type.Object({
  PLINTH_MODULES: Type.String({
    description:
      'The modules that this process serves and whose tasks and schedules it runs. The others can be called in process, and enqueued.',
    minLength: 1,
    expected: '__all__, or names of modules with commas between them',
    derived: 'BKAPP_DEPLOY_MODULE, otherwise __all__',
  }),
  PLINTH_REMOTES: Type.Optional(
    Type.String({
      description: 'The modules that other processes perform, and where these are.',
      pattern: `^${REMOTE}(,${REMOTE})*$`,
      expected: 'cities=https://cities.internal, several with commas between them',
    }),
  ),
  BKAPP_DEPLOY_MODULE: Type.Optional(
    Type.String({ description: 'Another name of PLINTH_MODULES.', minLength: 1 }),
  ),
})
type Env = Static<typeof env>

/**
 * Serves the resources of modules, which are callable as `app.resources`, too.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE, PLUGIN_ORDER; SERVICE_INVALID, RESOURCE_INVALID
 */
async function register(app: FastifyInstance, options: ResourcesOptions): Promise<void> {
  checkOptions<ResourcesOptions>('resources', options, {
    modules: 'object',
    only: 'texts?',
    strict: 'flag?',
    timeout: 'timer?',
    identify: 'function?',
    async: 'flag?',
    idempotency: 'any?',
    authorize: 'function?',
    remotes: 'object?',
    remote: 'object?',
  })
  assertModules(options.modules, 'modules')
  assertModuleKeys(options.modules)
  const known = moduleNames(options.modules)
  if (options.only?.some((name) => !known.includes(name)))
    throw invalidOption('resources', 'only', options.only, `a list of ${known.join(', ')}`)
  const strange = Object.keys(options.remotes ?? {}).find((name) => !known.includes(name))
  if (strange !== undefined)
    throw invalidOption('resources', 'remotes', strange, `names of ${known.join(', ')}`)
  assertFree(app, 'resources', 'resources')
  fromEarlier(app, 'resources', { plugin: 'envelope', decorator: 'envelope' })
  const { serveResources } = await import('../src/http/serve-resources.ts')
  const { remote: settings = {}, ...served } = options
  serveResources(app, served)
  app.addHook('onReady', async () => assertStores(app))
  if (![...app.registry.listings()].some(({ module }) => module.remote !== undefined)) return
  const { performElsewhere } = await import('../src/remote/remote-modules.ts')
  performElsewhere(app, settings)
}

/** @throws {PlinthError} RESOURCE_INVALID where a resource names a cache that is not there */
function assertStores(app: FastifyInstance): void {
  for (const { name, resource } of app.registry) {
    const { cache } = resource.definition
    for (const store of [cache?.store, cache?.anonymous ? cache.anonymous.store : undefined]) {
      if (store === undefined || app.hasDecorator(store)) continue
      const problem = `of its cache store is ${store}; expected the name of a cache: cache({ name: '${store}' })`
      throw errors.RESOURCE_INVALID(name, problem)
    }
  }
}

/** @throws {PlinthError} PLUGIN_OPTION_INVALID */
function assertModules(modules: ModuleTable, place: string): void {
  for (const [name, module] of Object.entries<unknown>(modules)) {
    const { resources, modules: inner } = isObject(module) ? module : {}
    const tables = [resources, inner].filter((table) => table !== undefined)
    if (tables.length === 0 || !tables.every(isObject))
      throw invalidOption('resources', `${place}.${name}`, module, 'a module by defineModule')
    assertModules((inner ?? {}) as ModuleTable, `${place}.${name}.modules`)
  }
}

function optionsOf({ env, read, service, modules }: PluginGiven<Env>): ResourcesOptions {
  const { NODE_ENV, REQUEST_TIMEOUT } = read.values
  const only = parseModules(env.PLINTH_MODULES)
  const { routes = {}, remotes } = service
  return {
    modules,
    ...(env.PLINTH_REMOTES !== undefined && { remotes: parseRemotes(env.PLINTH_REMOTES) }),
    remote: { ...remotes, ...(routes.tasks !== undefined && { tasks: routes.tasks }) },
    ...(only && { only }),
    strict: NODE_ENV !== 'production',
    timeout: REQUEST_TIMEOUT,
    async: service.async ?? false,
    idempotency: service.idempotency ?? false,
    ...(service.identify && { identify: service.identify }),
    ...(service.authorize && { authorize: service.authorize }),
  }
}

/** The URLs of PLINTH_REMOTES by the names of modules. */
function parseRemotes(text: string): Record<string, string> {
  return Object.fromEntries(
    text.split(',').map((pair) => pair.split('=').map((part) => part.trim()) as [string, string]),
  )
}

export default definePlugin({
  name: 'resources',
  env,
  after: [
    'config',
    'docs',
    'deadline',
    'upstream',
    'database',
    'cache',
    'tasks',
    'decompress',
    'envelope',
  ],
  decorators: ['resources', 'registry', 'compiled', 'responses', 'run'],
  options: optionsOf,
  register,
})
