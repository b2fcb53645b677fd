import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import type { ResourcesOptions } from '../src/http/serve-resources.ts'
import { definePlugin, type PluginGiven } from '../src/plugin.ts'
import {
  assertFree,
  checkOptions,
  fromEarlier,
  invalidOption,
  isObject,
} from '../src/plugin-guards.ts'
import type { BoundTable } from '../src/resource/bound.ts'
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
export type { ResourcesOptions } from '../src/http/serve-resources.ts'

const env = Type.Object({
  PLINTH_MODULES: Type.String({
    description:
      'The modules that this process serves and whose tasks and schedules it runs. The others can be called in process, and enqueued.',
    minLength: 1,
    expected: '__all__, or names of modules with commas between them',
    derived: 'BKAPP_DEPLOY_MODULE, otherwise __all__',
  }),
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
    timeout: 'number?',
    identify: 'function?',
    async: 'flag?',
    authorize: 'function?',
  })
  assertModules(options.modules, 'modules')
  assertModuleKeys(options.modules)
  const known = moduleNames(options.modules)
  if (options.only?.some((name) => !known.includes(name)))
    throw invalidOption('resources', 'only', options.only, `a list of ${known.join(', ')}`)
  assertFree(app, 'resources', 'resources')
  fromEarlier(app, 'resources', { plugin: 'envelope', decorator: 'envelope' })
  const { serveResources } = await import('../src/http/serve-resources.ts')
  serveResources(app, options)
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
  return {
    modules,
    ...(only && { only }),
    strict: NODE_ENV !== 'production',
    timeout: REQUEST_TIMEOUT,
    async: service.async ?? false,
    ...(service.identify && { identify: service.identify }),
    ...(service.authorize && { authorize: service.authorize }),
  }
}

export default definePlugin({
  name: 'resources',
  env,
  after: ['config', 'docs', 'deadline', 'database', 'cache', 'tasks', 'decompress', 'envelope'],
  decorators: ['resources', 'registry', 'compiled', 'responses', 'run'],
  options: optionsOf,
  register,
})
