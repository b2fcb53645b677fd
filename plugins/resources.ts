import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { useStrictJson } from '../src/http/body.ts'
import { type EnvelopeName, envelopes } from '../src/http/envelope.ts'
import { createErrorHandler } from '../src/http/error-handler.ts'
import { giveContext } from '../src/http/request-context.ts'
import { createRoute } from '../src/http/route.ts'
import { assertOnce, checkOptions, invalidOption, isObject } from '../src/plugin.ts'
import { assertCachePolicy } from '../src/resource/cache-policy.ts'
import { Context, currentContext, type Identify, runInContext } from '../src/resource/context.ts'
import type { AnyDefined } from '../src/resource/contract.ts'
import type { Authorize } from '../src/resource/execute.ts'
import type { Module, ModuleTable } from '../src/resource/module.ts'
import {
  assertDistinctRoutes,
  type BoundResources,
  bindResources,
  isExposed,
  namesOf,
} from '../src/resource/registry.ts'
import { ResponseCheck } from '../src/resource/response-check.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Every resource by module and name, callable from anywhere: a call within a call shares its context. */
    resources: BoundResources<ModuleTable>
    /** The full name of each resource of the app, exposed or not. */
    resourceNames: ReadonlyMap<AnyDefined, string>
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
  /** Default `standard`: `{ result, code, data, message, request_id, trace_id }`; `problem`: bare bodies and RFC 9457. */
  envelope?: EnvelopeName
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
    envelope: 'envelope?',
    strict: 'flag?',
    timeout: 'number?',
    identify: 'function?',
    async: 'flag?',
    authorize: 'function?',
  })
  for (const [name, module] of Object.entries<unknown>(options.modules)) {
    if (!isObject(module) || !isObject(module.resources))
      throw invalidOption('resources', `modules.${name}`, module, 'a module by defineModule')
  }
  assertOnce(app, 'resources', 'resources')
  const { modules, identify, strict = process.env.NODE_ENV !== 'production' } = options
  const envelope = envelopes[options.envelope ?? 'standard']
  const { handlerTimeout = 0 } = app.initialConfig as { handlerTimeout?: number }
  const { timeout = handlerTimeout } = options
  assertDistinctRoutes(modules)
  const names = namesOf(modules)
  const run = <T>(fn: () => T): T => runInContext(new Context(app), fn, undefined, undefined)
  app.decorate('resourceNames', names)
  if (identify) app.decorate('identify', identify)
  if (options.authorize) app.decorate('authorize', options.authorize)
  giveContext(app)
  app.decorate('run', run)
  app.decorate('responses', new ResponseCheck(strict, app.log))
  const share = <T>(fn: () => T): T =>
    currentContext()?.app.resourceNames === names ? fn() : run(fn)
  app.decorate('resources', bindResources(modules, share))

  for (const [moduleName, module] of Object.entries(modules)) {
    app.register(serveModule, { prefix: module.prefix, moduleName, module })
  }

  async function serveModule(
    scope: FastifyInstance,
    served: { moduleName: string; module: Module },
  ) {
    const { tags, security, resources: table, async = options.async ?? false } = served.module
    useStrictJson(scope)
    // Fastify reads it, and no resource takes it.
    scope.removeContentTypeParser('text/plain')
    scope.setErrorHandler(createErrorHandler(envelope))
    for (const [key, resource] of Object.entries(table)) {
      const name = `${served.moduleName}.${key}`
      assertCachePolicy(name, resource.definition.cache)
      if (!isExposed(resource, served.module)) continue
      for (const type of Object.keys(resource.definition.consumes ?? {})) leaveUnread(scope, type)
      const settings = {
        app: scope,
        envelope,
        timeout,
        async,
        security,
        ...(tags && { tags }),
      }
      scope.route(createRoute(name, resource, settings))
    }
  }
}

/** Lets bodies of that type through to the resource, unless a plugin of the app reads them. */
function leaveUnread(scope: FastifyInstance, type: string): void {
  if (!scope.hasContentTypeParser(type))
    scope.addContentTypeParser(type, (_request, _payload, done) => done(null))
}

export default fp(resources, { name: 'plinth-resources', fastify: '5.x' })
