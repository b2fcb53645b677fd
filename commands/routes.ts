import { Flags } from '@oclif/core'
import type { RouteOptions } from 'fastify'
import type { Auth } from '../src/resource/access.ts'
import { BaseCommand } from './_base.ts'

interface Route {
  method: string
  path: string
  resource: string | null
  /** Null where the service does not decide who may call what. */
  auth: Auth | null
  permissions: string[]
  /** Whether each user has other rows there. */
  scope: boolean
}

export default class Routes extends BaseCommand {
  static override summary = 'List the routes'
  static override examples = [
    '<%= config.bin %> routes',
    '<%= config.bin %> routes --auth',
    '<%= config.bin %> routes --json',
  ]
  static override flags = {
    auth: Flags.boolean({ summary: 'Say who may call each' }),
  }
  static override enableJsonFlag = true

  async run(): Promise<Route[]> {
    const { flags } = await this.parse(Routes)
    const seen: { route: RouteOptions; method: string; path: string }[] = []
    await this.withApp(async () => {}, {
      prepare: (app) =>
        app.addHook('onRoute', (route) => {
          for (const method of [route.method].flat()) seen.push({ route, method, path: route.url })
        }),
    })
    // Only now: what is decided of a route is added to it after that hook.
    const routes = seen.map(({ route: { config = {} }, method, path }): Route => {
      const { resource = null, access: { auth = null, permissions = [] } = {}, definition } = config
      const names = permissions.map(({ name }) => name)
      const scope = definition?.scope !== undefined
      return { method, path, resource, auth, permissions: names, scope }
    })
    routes.sort((a, b) => a.path.localeCompare(b.path) || a.method.localeCompare(b.method))
    const { formatTable } = await import('./_print.ts')
    const rows = routes.map(({ method, path, resource, auth, permissions, scope }) => {
      const limits = [...permissions, ...(scope ? ['a scope'] : [])]
      const who = [auth ?? 'everybody', limits.join(', ')]
      return [method, path, ...(flags.auth ? who : []), resource ?? '']
    })
    this.log(formatTable(rows))
    return routes
  }
}
