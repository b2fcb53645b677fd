import type { FastifyInstance, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { errors } from '../src/errors.ts'
import { useStrictJson } from '../src/http/body.ts'
import { envelopeOf } from '../src/http/envelope.ts'
import { createErrorHandler } from '../src/http/error-handler.ts'
import { giveContext } from '../src/http/request-context.ts'
import { createRoute } from '../src/http/route.ts'
import { assertOnce, checkOptions, invalidOption, isObject } from '../src/plugin.ts'
import { type BoundTable, bindResources } from '../src/resource/bound.ts'
import { CompiledResources } from '../src/resource/compiled.ts'
import { Context, currentContext, type Identify, runInContext } from '../src/resource/context.ts'
import type { Authorize } from '../src/resource/execute.ts'
import { MODULE_HOOKS, type ModuleTable, moduleNames } from '../src/resource/module.ts'
import { type RegisteredModule, ResourceRegistry } from '../src/resource/registry.ts'
import { ResponseCheck } from '../src/resource/response-check.ts'
import { assertTimeout } from '../src/task/declared.ts'

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

// The type of `routeOptions.config.resource`.
export type {} from '../src/http/route.ts'

export interface ResourcesOptions {
  modules: ModuleTable
  /**
   * The names of the modules that this process serves, and whose tasks and schedules it runs; `admin` with all that is in
   * it, `admin.users` alone. The others can be called in process, and enqueued. Default: all.
   */
  only?: readonly string[]
  /**
   * Fail where a response, of whichever way to call a resource, does not fit its schema, or has a field that this does not
   * list; else that is left out, and counted. Default: unless NODE_ENV is `production`.
   */
  strict?: boolean
  /**
   * Milliseconds that a resource without a `timeout` of its own may take to answer a request; 0: as long as it takes.
   * Default: the server's `handlerTimeout`, else 0.
   */
  timeout?: number
  /**
   * Who makes a request, for the whole app. Default: `request.user`, as a hook has put it there, with its `id`, else its `sub`.
   */
  identify?: Identify
  /** Decides whether a call may be made, whichever way it comes and before the cache answers; default: each may. */
  authorize?: Authorize
  /** Whether clients may have resources run as tasks, where neither they nor their module say it; default false. */
  async?: boolean
}

/** @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE; RESOURCE_INVALID */
async function resources(app: FastifyInstance, options: ResourcesOptions): Promise<void> {
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
  const known = moduleNames(options.modules)
  if (options.only?.some((name) => !known.includes(name)))
    throw invalidOption('resources', 'only', options.only, `a list of ${known.join(', ')}`)
  assertOnce(app, 'resources', 'resources')
  const { identify, strict = process.env.NODE_ENV !== 'production', async = false } = options
  const envelope = envelopeOf(app)
  const { handlerTimeout = 0 } = app.initialConfig as { handlerTimeout?: number }
  const { timeout = handlerTimeout } = options
  assertTimeout('(default)', 'its timeout', timeout)
  const registry = new ResourceRegistry(options.modules, { async }, options.only)
  const run = <T>(fn: () => T): T => runInContext(new Context(app), fn, undefined, undefined)
  app.decorate('registry', registry)
  if (identify) app.decorate('identify', identify)
  if (options.authorize) app.decorate('authorize', options.authorize)
  giveContext(app)
  app.decorate('run', run)
  app.decorate('compiled', new CompiledResources(app))
  app.decorate('responses', new ResponseCheck(strict, app.compiled, app.log))
  const share = <T>(fn: () => T): T =>
    currentContext()?.app.registry === registry ? fn() : run(fn)
  app.decorate('resources', bindResources(registry.modules, share))
  serveModules(app, registry.modules)

  function serveModules(scope: FastifyInstance, modules: readonly RegisteredModule[]): void {
    for (const module of modules.filter(isNeeded))
      scope.register(serveModule, { prefix: module.prefix, module })
  }

  async function serveModule(scope: FastifyInstance, { module }: { module: RegisteredModule }) {
    const { tags, security, async = false, plugins = [], hooks = {} } = module
    useStrictJson(scope)
    // Fastify reads it, and no resource takes it.
    scope.removeContentTypeParser('text/plain')
    scope.setErrorHandler(createErrorHandler(envelope))
    for (const plugin of plugins) await scope.register(plugin)
    for (const name of MODULE_HOOKS)
      for (const hook of [hooks[name] ?? []].flat())
        scope.addHook(name as 'onRequest', hook as never)
    for (const { name: operationId, entry, exposed } of module.listings) {
      const { name, resource } = entry
      scope.compiled.add(resource, name, scope)
      if (!exposed || !module.runsHere) continue
      for (const type of Object.keys(resource.definition.consumes ?? {})) leaveUnread(scope, type)
      const settings = { app: scope, envelope, operationId, timeout, async, security, tags }
      addRoute(scope, operationId, createRoute(name, resource, settings))
    }
    serveModules(scope, module.modules)
  }
}

/** Whether this process serves something of it: for nothing it needs no context, nor what that would open. */
function isNeeded({ runsHere, modules }: RegisteredModule): boolean {
  return runsHere || modules.some(isNeeded)
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

/** @throws {PlinthError} RESOURCE_INVALID where the app has that route already */
function addRoute(scope: FastifyInstance, name: string, route: RouteOptions): void {
  // Fastify makes the path whole in the options themselves.
  const place = `${route.method} ${scope.prefix}${route.url === '/' ? '' : route.url}`
  try {
    scope.route(route)
  } catch (cause) {
    if ((cause as { code?: string }).code !== 'FST_ERR_DUPLICATED_ROUTE') throw cause
    throw errors.RESOURCE_INVALID.with({ cause }, name, `the app has ${place} already; ${MOVE}`)
  }
}

const MOVE =
  "give its module another prefix, or move what is there: a route of the kit with routes of defineService, { tasks: '/jobs' }"

/** Lets bodies of that type through to the resource, unless a plugin of the app reads them. */
function leaveUnread(scope: FastifyInstance, type: string): void {
  if (!scope.hasContentTypeParser(type))
    scope.addContentTypeParser(type, (_request, _payload, done) => done(null))
}

export default fp(resources, { name: 'plinth-resources', fastify: '5.x' })
