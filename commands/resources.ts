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
    'Reads the modules only: nothing is connected. One with - for its route is not exposed.'
  static override examples = ['<%= config.bin %> resources', '<%= config.bin %> resources --json']
  static override enableJsonFlag = true

  async run(): Promise<Listed[]> {
    await this.parse(Resources)
    const { service } = await this.loadService()
    const { eachResource, isExposed } = await import('../src/resource/registry.ts')
    const list = Array.from(eachResource(service.modules), ({ name, resource, module }) => {
      const { method = 'GET', path = '/', summary } = resource.definition
      if (!isExposed(resource, module)) return { name, method: null, path: null, summary }
      return { name, method, path: `${module.prefix}${path === '/' ? '' : path}`, summary }
    })
    const { formatTable } = await import('./_print.ts')
    this.log(
      formatTable(list.map((one) => [one.name, one.method ?? '-', one.path ?? '-', one.summary])),
    )
    return list
  }
}
