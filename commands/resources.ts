import { BaseCommand } from './_base.ts'

interface Listed {
  name: string
  method: string
  path: string
  summary: string
}

export default class Resources extends BaseCommand {
  static override summary = 'List the resources'
  static override description = 'Reads the modules only: nothing is connected.'
  static override examples = ['<%= config.bin %> resources', '<%= config.bin %> resources --json']
  static override enableJsonFlag = true

  async run(): Promise<Listed[]> {
    await this.parse(Resources)
    const { service } = await this.loadService()
    const { eachResource } = await import('../src/resource/module.ts')
    const list = Array.from(eachResource(service.modules), ({ name, resource, module }) => {
      const { method = 'GET', path = '/', summary } = resource.definition
      return { name, method, path: `${module.prefix}${path === '/' ? '' : path}`, summary }
    })
    const { formatTable } = await import('./_print.ts')
    this.log(formatTable(list.map((one) => [one.name, one.method, one.path, one.summary])))
    return list
  }
}
