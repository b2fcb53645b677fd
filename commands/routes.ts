import { BaseCommand } from './_base.ts'

interface Route {
  method: string
  path: string
  resource: string | null
}

export default class Routes extends BaseCommand {
  static override summary = 'List the routes'
  static override examples = ['<%= config.bin %> routes', '<%= config.bin %> routes --json']
  static override enableJsonFlag = true

  async run(): Promise<Route[]> {
    await this.parse(Routes)
    const routes: Route[] = []
    await this.withApp(async () => {}, {
      prepare: (app) =>
        app.addHook('onRoute', ({ method, url, config }) => {
          const resource = config?.resource ?? null
          for (const one of [method].flat()) routes.push({ method: one, path: url, resource })
        }),
    })
    routes.sort((a, b) => a.path.localeCompare(b.path) || a.method.localeCompare(b.method))
    const { formatTable } = await import('./_print.ts')
    this.log(
      formatTable(routes.map(({ method, path, resource }) => [method, path, resource ?? ''])),
    )
    return routes
  }
}
