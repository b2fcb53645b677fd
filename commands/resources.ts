import { BaseCommand } from './_base.ts'

interface Listed {
  name: string
  /** Null where it has no route. */
  method: string | null
  path: string | null
  summary: string
}

export default class Resources extends BaseCommand {
  static override summary = 'List the resources'
  static override description =
    'Reads the modules only: nothing is connected. One with - for its route is not exposed, or not served by this process (PLINTH_MODULES).'
  static override examples = ['<%= config.bin %> resources', '<%= config.bin %> resources --json']
  static override enableJsonFlag = true

  async run(): Promise<Listed[]> {
    await this.parse(Resources)
    const { service, root } = await this.loadService()
    const { ResourceRegistry } = await import('../src/resource/registry.ts')
    const { modulesOf } = await import('../src/kit.ts')
    const { readModules } = await import('../src/service.ts')
    const registry = new ResourceRegistry(modulesOf(service), {}, readModules(service, root))
    const list = Array.from(registry.listings(), ({ name, entry, path, exposed, module }) => {
      const { method = 'GET', summary } = entry.resource.definition
      if (!exposed || !module.runsHere) return { name, method: null, path: null, summary }
      return { name, method, path, summary }
    })
    const { formatTable } = await import('./_print.ts')
    this.log(
      formatTable(list.map((one) => [one.name, one.method ?? '-', one.path ?? '-', one.summary])),
    )
    return list
  }
}
