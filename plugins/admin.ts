import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import type { AdminTable } from '../src/admin/tables.ts'
import type { Model } from '../src/database/model/types.ts'
import { errors } from '../src/errors.ts'
import { definePlugin, type PluginGiven } from '../src/plugin.ts'
import { checkOptions, invalidOption, isObject } from '../src/plugin-guards.ts'
import { accessWithin, type Permission } from '../src/resource/access.ts'

declare module '../src/config/schema.ts' {
  interface KitConfig extends Env {}
}

const env = Type.Object({
  ADMIN: Type.Boolean({
    description:
      'Serve /_/admin, where rows can be seen and changed. In production only where the service says by whom.',
    derived: 'true in development, otherwise false',
  }),
})
type Env = Static<typeof env>

export interface AdminOptions {
  /** Above the page; default `Admin`. */
  title?: string
  /** The tables that it shows. In a service: its own models. */
  models: readonly Model[]
  /** More of some, by their names; `false`: not that one. */
  tables?: Readonly<Record<string, AdminTable | false>>
  /**
   * Who may see it and change what is in it, by a login that browsers have: `isSuperuser`. Without it the page is for this machine
   * alone, does all as the service itself, and is not for production.
   */
  permissions?: Permission | readonly Permission[]
  /** Without `permissions`: under which names it may be asked for, without ports, from any machine. Default: those of this machine, from it alone. */
  hosts?: readonly string[]
  /** Whether one without `permissions` is refused; default: where NODE_ENV is `production`. */
  protected?: boolean
}

/**
 * Serves `/_/admin`, a page to find, add, change and delete rows.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE; PLUGIN_MISSING and RESOURCE_INVALID where nothing would enforce `permissions`
 */
async function register(app: FastifyInstance, options: AdminOptions): Promise<void> {
  checkOptions<AdminOptions>('admin', options, {
    title: 'text?',
    models: 'models',
    tables: 'object?',
    permissions: 'any?',
    hosts: 'texts?',
    protected: 'flag?',
  })
  const { title = 'Admin', models, tables = {}, hosts } = options
  const permissions = [options.permissions ?? []].flat() as readonly Permission[]
  const isProtected = options.protected ?? process.env.NODE_ENV === 'production'
  if (permissions.length === 0 && isProtected)
    throw invalidOption(
      'admin',
      'permissions',
      options.permissions,
      'in production: who may, isSuperuser',
    )
  if (permissions.length > 0 && !app.hasPlugin('auth'))
    throw errors.PLUGIN_MISSING(
      'admin',
      'auth',
      'give the service auth: true, or register it first',
    )
  const strange = Object.entries<unknown>(tables).find(
    ([name, given]) =>
      !models.some(({ table }) => table === name) || !(given === false || isObject(given)),
  )
  if (strange)
    throw invalidOption(
      'admin',
      `tables.${strange[0]}`,
      strange[1],
      'false or an object, by a table of models',
    )
  const access = accessWithin(undefined, { permissions }, 'plinth/plugins/admin')
  const { serveAdmin } = await import('../src/admin/serve.ts')
  serveAdmin(app, { title, models, tables, access, hosts })
}

export default definePlugin({
  name: 'admin',
  env,
  after: [
    'config',
    'telemetry',
    'developer',
    'envelope',
    'rate-limit',
    'auth',
    'deadline',
    'database',
  ],
  options({ env, read, service }: PluginGiven<Env>): AdminOptions | string {
    const { models = [] } = service
    if (models.length === 0) return 'give the service models'
    if (!read.values.DATABASE_URL) return 'set DATABASE_URL'
    if (!env.ADMIN) return 'set ADMIN=true'
    const isProduction = read.values.NODE_ENV === 'production'
    return { title: `Admin of ${service.name}`, models, protected: isProduction }
  },
  register,
})
