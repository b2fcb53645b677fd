import type { FastifyInstance, RouteOptions } from 'fastify'
import { authorizeCall } from '../auth/authorize.ts'
import type { Duration } from '../duration.ts'
import { errors } from '../errors.ts'
import { bindResources } from '../resource/bound-table.ts'
import { CompiledResources } from '../resource/compiled.ts'
import { Context, currentContext, type Identify, runInContext } from '../resource/context.ts'
import type { Idempotency } from '../resource/contract.ts'
import type { Authorize } from '../resource/execute.ts'
import { MODULE_HOOKS, type ModuleTable } from '../resource/module.ts'
import { type RegisteredModule, ResourceRegistry } from '../resource/registry.ts'
import { ResponseCheck } from '../resource/response-check.ts'
import { readTimeout } from '../task/declared.ts'
import { useStrictJson } from './body.ts'
import { envelopeOf } from './envelope.ts'
import { createErrorHandler } from './error-handler.ts'
import { giveContext } from './request-context.ts'
import { createRoute } from './route.ts'
import { readUploads } from './upload.ts'

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
   * How long a resource without a `timeout` of its own may take to answer a request, milliseconds or a text like `'20s'`; 0: as
   * long as it takes. Default: the server's `handlerTimeout`, else 0.
   */
  timeout?: Duration
  /**
   * Who makes a request, for the whole app. Default: `request.user`, as a hook has put it there, with its `id`, else its `sub`.
   */
  identify?: Identify
  /** Decides whether a call may be made, whichever way it comes and before the cache answers; default: each may. */
  authorize?: Authorize
  /** The URLs of the processes that perform modules, by the names of these; in place of what modules say themselves (`remote`). */
  remotes?: Readonly<Record<string, string>>
  /** Whether clients may have resources run as tasks, where neither they nor their module say it; default false. */
  async?: boolean
  /** How resources take the header `Idempotency-Key`, where neither they nor their module say it; default: not at all. */
  idempotency?: Idempotency
}

/**
 * Decorates an app with the resources of modules, and adds their routes, those of each module in a context of its own.
 *
 * @throws {PlinthError} RESOURCE_INVALID, also where it is not decided who may call one
 */
export function serveResources(app: FastifyInstance, options: ResourcesOptions): void {
  const { identify, strict = process.env.NODE_ENV !== 'production' } = options
  const { async = false, idempotency = false } = options
  const envelope = envelopeOf(app)
  const { handlerTimeout = 0 } = app.initialConfig as { handlerTimeout?: number }
  const timeout = readTimeout('(default)', 'its timeout', options.timeout ?? handlerTimeout)
  const registry = new ResourceRegistry(
    options.modules,
    { async, idempotency },
    options.only,
    app.rateLimits,
    options.remotes,
  )
  const hooked = { serialization: false }
  if ([...registry].some(({ resource }) => resource.definition.cache))
    app.addHook('onReady', async () => {
      hooked.serialization = hasHook(app, 'preSerialization')
    })
  const run = <T>(fn: () => T): T => runInContext(new Context(app), fn, undefined, undefined)
  app.decorate('registry', registry)
  if (identify) app.decorate('identify', identify)
  const isGuarded = app.hasPlugin('auth')
  assertDecided(registry, isGuarded)
  assertCounted(registry, app.hasDecorator('rateLimits'))
  const authorize = authorizeBy(isGuarded, options.authorize)
  if (authorize) app.decorate('authorize', authorize)
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
    const { tags, security, async = false, idempotency = false, plugins = [], hooks = {} } = module
    useStrictJson(scope)
    // Fastify reads it, and no resource takes it.
    scope.removeContentTypeParser('text/plain')
    scope.setErrorHandler(createErrorHandler(envelope))
    for (const plugin of plugins) await scope.register(plugin)
    for (const name of MODULE_HOOKS)
      for (const hook of [hooks[name] ?? []].flat())
        scope.addHook(name as 'onRequest', hook as never)
    for (const { name: operationId, entry, exposed, access, limits } of module.listings) {
      const { name, resource } = entry
      scope.compiled.add(resource, name, scope)
      if (!exposed || !module.runsHere) continue
      for (const type of Object.keys(resource.definition.consumes ?? {})) leaveUnread(scope, type)
      const described = security ?? (isGuarded && access ? app.auth.security(access) : undefined)
      const shared = { app: scope, envelope, timeout, async, idempotency, tags, hooked }
      const settings = { ...shared, operationId, access, limits, security: described }
      const route = createRoute(name, resource, settings)
      const { upload } = route.config ?? {}
      if (!upload) addRoute(scope, operationId, route)
      // In a context of its own: no other route reads what it reads.
      else
        scope.register(async function serveUpload(own) {
          await readUploads(own, upload)
          addRoute(own, operationId, route)
        })
    }
    serveModules(scope, module.modules)
  }
}

/** @throws {PlinthError} RESOURCE_INVALID where it is not decided who may call one, or nothing would enforce it */
function assertDecided(registry: ResourceRegistry, isGuarded: boolean): void {
  for (const { name, access } of registry.listings()) {
    if (isGuarded && !access) throw errors.RESOURCE_INVALID(name, UNDECIDED)
    if (!isGuarded && access && access.auth !== 'public')
      throw errors.RESOURCE_INVALID(name, UNGUARDED)
  }
}

const UNDECIDED =
  "nobody has decided who may call it; say auth: 'required', 'optional' or 'public', or permissions, there or in its module"
const UNGUARDED =
  'it has auth or permissions, and nothing would enforce them: register plinth/plugins/auth before the resources (auth of defineService)'

/** @throws {PlinthError} RESOURCE_INVALID where one is limited and nothing would count */
function assertCounted(registry: ResourceRegistry, isCounted: boolean): void {
  for (const { name, limits } of registry.listings())
    if (!isCounted && limits.length > 0) throw errors.RESOURCE_INVALID(name, UNCOUNTED)
}

const UNCOUNTED =
  'it has rateLimits, and nothing would count requests: register plinth/plugins/rate-limit before the resources (rateLimits of defineService, which may be [])'

/** What is decided of the resources comes before what the service decides itself. */
function authorizeBy(isGuarded: boolean, own: Authorize | undefined): Authorize | undefined {
  if (!isGuarded) return own
  if (!own) return authorizeCall
  return async (call) => {
    await authorizeCall(call)
    await own(call)
  }
}

/** Whether a route has a hook of that kind: this alone tells, in words. */
function hasHook(app: FastifyInstance, name: string): boolean {
  return app.printRoutes({ includeHooks: true }).includes(`• (${name}) [`)
}

/** Whether this process serves something of it: for nothing it needs no context, nor what that would open. */
function isNeeded({ runsHere, modules }: RegisteredModule): boolean {
  return runsHere || modules.some(isNeeded)
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
