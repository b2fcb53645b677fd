import type { FastifyContextConfig, FastifyInstance, FastifyRequest, RouteOptions } from 'fastify'
import Type, { type Static } from 'typebox'
import { type Admit, authenticatorOf, goOn } from '../src/auth/authenticator.ts'
import { authorizeAccess } from '../src/auth/authorize.ts'
import { contextOf, giveContext } from '../src/http/request-context.ts'
import { definePlugin } from '../src/plugin.ts'
import { checkOptions } from '../src/plugin-guards.ts'
import { type Access, accessWithin, type KitAccess, PUBLIC } from '../src/resource/access.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What lets requests of the route pass, by its `access`; null: all of them do. */
    admit?: Admit | null
  }
}

declare module '../src/config/schema.ts' {
  interface KitConfig extends Env {}
}

const env = Type.Object({
  SUPERUSERS: Type.Optional(
    Type.String({
      description:
        'The ids of users who look after the service: whoever logs in as one is a superuser.',
      expected: 'ids as strategies tell them, with commas between them',
    }),
  ),
})
type Env = Static<typeof env>

export interface AuthOptions {
  /** Default: everybody, of tasks those that are theirs. */
  routes?: KitAccess
  /** The ids of users who are superusers, whatever strategy knows them; default: none. */
  superusers?: readonly string[]
}

const REQUIRED: Access = { auth: 'required', permissions: [] }
const OPTIONAL: Access = { auth: 'optional', permissions: [] }

/**
 * Demands a decision of who may call what (`auth`, `permissions`): of resources, without which the app does not start, and of
 * routes, in their `config`, without which they need a user. Who calls is found out by the strategies of the app, before a body is
 * read, and permissions are asked whichever way a call comes.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE, RESOURCE_INVALID
 */
async function register(app: FastifyInstance, options: AuthOptions): Promise<void> {
  checkOptions<AuthOptions>('auth', options, { routes: 'object?', superusers: 'texts?' })
  const { routes = {}, superusers = [] } = options
  if (superusers.length > 0) app.decorate('superusers', new Set(superusers))
  const authenticator = authenticatorOf(app)
  giveContext(app)
  app.addHook('onRoute', (route) => {
    const access = decide(route)
    route.config = { ...route.config, access, admit: admitBy(access, route.config?.resource) }
  })
  const ofEarlier = new WeakMap<object, Admit | null>()
  app.addHook('onRequest', function admitRequest(request, reply, done) {
    if (request.is404) return done()
    // Once: each look at the options of a route makes them anew.
    const { config } = request.routeOptions
    const { admit = admitEarlier(config) } = config
    if (admit === null) done()
    else goOn(admit, request, reply, done)
  })

  /** Of a route that was registered before this plugin: what it has decided itself, if anything. */
  function admitEarlier(config: FastifyContextConfig): Admit | null {
    const known = ofEarlier.get(config)
    if (known !== undefined) return known
    const admit = admitBy(config.access ?? REQUIRED, config.resource)
    ofEarlier.set(config, admit)
    return admit
  }

  /** Null: everybody may, and nobody is asked who it is. */
  function admitBy(access: Access, resource: string | undefined): Admit | null {
    const { auth, permissions } = access
    if (auth === 'public') return null
    const find: Admit =
      auth === 'required'
        ? authenticator.demand
        : (request, reply) => authenticator.find(request, reply)
    // Permissions of a resource are asked with its input.
    if (resource !== undefined || permissions.length === 0) return find
    const authorize = (request: FastifyRequest) => {
      const context = contextOf(request)
      return authorizeAccess(access, { user: context.user, input: undefined, context })
    }
    return (request, reply) => {
      const found = find(request, reply)
      if (found) return found.then(() => (reply.sent ? undefined : authorize(request)))
      return reply.sent ? undefined : authorize(request)
    }
  }

  function decide({ config = {}, method, url }: RouteOptions): Access {
    const { kit, access } = config
    if (access) return access
    const isKits = kit && kit !== 'admin' && kit !== 'developer' && kit !== 'health'
    const settings = isKits ? (routes[kit] ?? {}) : config
    const outer = kit ? (kit === 'tasks' ? OPTIONAL : PUBLIC) : REQUIRED
    return accessWithin(outer, settings, `${method} ${url}`) ?? outer
  }
}

export default definePlugin({
  name: 'auth',
  after: ['envelope', 'decompress', 'rate-limit'],
  env,
  decorators: ['auth'],
  options: ({ service: { auth }, env: { SUPERUSERS = '' } }): AuthOptions | string => {
    if (!auth) return 'give the service auth: true'
    const superusers = SUPERUSERS.split(',').map((id) => id.trim())
    return { ...(auth !== true && auth), superusers: superusers.filter((id) => id !== '') }
  },
  register,
})
