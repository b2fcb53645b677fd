import type { FastifyInstance, RouteOptions } from 'fastify'
import type { ServiceDefinition } from '../define-service.ts'
import { found } from '../findings.ts'
import { JSON_TYPE } from '../http/body.ts'
import { pluginsOf } from '../kit.ts'
import type { Finding } from './finding.ts'

/** A route of an app, by one of its methods. */
export interface SeenRoute {
  readonly name: string
  readonly method: string
  readonly route: RouteOptions
  readonly context: FastifyInstance
  /** Plugins that look at routes as they are added, and came later. */
  readonly unseenBy: Set<string>
}

/** Sees which routes an app gets, and what has not seen them. */
export class RouteWatch {
  readonly routes: SeenRoute[] = []

  /** To be called before anything is registered. */
  begin(app: FastifyInstance): void {
    const { routes } = this
    app.addHook('onRoute', function see(route) {
      // What answers to them follows from other routes.
      const methods = [route.method].flat().filter((one) => one !== 'HEAD' && one !== 'OPTIONS')
      for (const method of methods) {
        const name = `${method} ${route.url}`
        routes.push({ name, method, route, context: this, unseenBy: new Set() })
      }
    })
    const { addHook } = app
    // All other hooks run for routes that are there already, too.
    const watched = function watched(this: FastifyInstance, name: string, hook: object) {
      if (name === 'onRoute')
        for (const { context, unseenBy } of routes)
          if (isWithin(context, this)) unseenBy.add(pluginOf(this))
      return Reflect.apply(addHook, this, [name, hook])
    }
    Object.defineProperty(app, 'addHook', { value: watched, writable: true, configurable: true })
  }
}

function isWithin(context: FastifyInstance, outer: FastifyInstance): boolean {
  return context === outer || Object.prototype.isPrototypeOf.call(outer, context)
}

/** The last one that was registered: `fastify -> config -> docs`. */
function pluginOf({ pluginName }: FastifyInstance): string {
  return pluginName.slice(pluginName.lastIndexOf('> ') + 1).trim()
}

/** Pages of the kit that nobody has decided who may see, or that everybody may. */
export function checkOpenRoutes({ routes }: RouteWatch, service: ServiceDefinition): Finding[] {
  const texts = {
    docs: 'DOCS is on: anybody can read the API document',
    contract: 'CONTRACT is on: anybody can read the contract',
    queues: 'QUEUES is on: anybody can see, repeat and remove tasks',
  }
  const isHooked =
    service.queues !== undefined ||
    pluginsOf(service).some(
      ({ definition, options }) => definition.name === 'queues' && 'protect' in options,
    )
  const open = new Set(
    routes.filter(({ route }) => isOpen(route)).map(({ route }) => route.config?.kit),
  )
  return (['docs', 'contract', 'queues'] as const)
    .filter((kit) => open.has(kit) && !(kit === 'queues' && isHooked))
    .map((kit) => ({ check: kit, ...found(`${kit}-open`, texts[kit]) }))
}

function isOpen({ config: { access } = {} }: RouteOptions): boolean {
  return !access || (access.auth !== 'required' && access.permissions.length === 0)
}

/** Resources that users may have run as tasks, where nothing finds the users of tasks. */
export function checkTaskUsers({ routes }: RouteWatch, service: ServiceDefinition): Finding[] {
  const isFound =
    service.loadUser !== undefined ||
    pluginsOf(service).some(
      ({ definition, options }) => definition.name === 'tasks' && 'loadUser' in options,
    )
  if (isFound) return []
  return routes.flatMap(({ name, route: { config } }) => {
    const isOfUsers = config?.access !== undefined && config.access.auth !== 'public'
    if (!config?.async || !isOfUsers) return []
    const problem = `${name} may run as a task of a user, whom nothing finds there`
    return [{ check: 'routes', ...found('user-unloaded', problem, { subject: name }) }]
  })
}

/** What routes lack that are no resource's, nor the kit's own. */
export function checkRoutes({ routes }: RouteWatch): Finding[] {
  const own = routes.filter(({ route }) => route.config?.kit === undefined)
  const tell = (
    code: Parameters<typeof found>[0],
    { name }: SeenRoute,
    problem: string,
  ): Finding => ({
    check: 'routes',
    ...found(code, `${name} ${problem}`, { subject: name }),
  })
  return own.flatMap((seen) => {
    const { route, unseenBy } = seen
    const lacking = lackingSchema(seen)
    const isEndless = route.config?.deadline === 0
    return [
      ...(lacking ? [tell('route-without-schema', seen, `has no schema of ${lacking}`)] : []),
      ...(isEndless ? [tell('route-without-deadline', seen, 'may take as long as it wants')] : []),
      ...Array.from(unseenBy, (plugin) =>
        tell(
          'route-too-early',
          seen,
          `was added before the plugin ${plugin}, which does not see it`,
        ),
      ),
    ]
  })
}

/** What of a request reaches the handler as it comes. */
function lackingSchema({ method, route, context }: SeenRoute): string | undefined {
  const { url, schema, config } = route
  // A resource without one takes nothing.
  if (config?.resource !== undefined) return undefined
  const { body, params } = schema ?? {}
  // What is not parsed is not for the handler, or it reads it as a stream.
  const hasBody = [JSON_TYPE, 'application/json'].some((type) => context.hasContentTypeParser(type))
  if (!body && hasBody && ['POST', 'PUT', 'PATCH'].includes(method)) return 'its body'
  return !params && url.includes(':') ? 'its path' : undefined
}
