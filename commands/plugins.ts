import { readdirSync } from 'node:fs'
import { foldersOf, pluginsOf, type ServiceDefinition } from '../src/define-service.ts'
import { modulesOfPlugin, type PluginInstance, variablesOf } from '../src/plugin.ts'
import { BaseCommand } from './_base.ts'
import { commandsIn } from './_folder.ts'

/** What a use of a plugin brings: the names of it. */
interface Listed {
  name: string
  /** The plugin, where this use of it has another name. */
  plugin: string
  variables: string[]
  needs: string[]
  after: string[]
  models: string[]
  migrations: string[]
  seeds: string[]
  modules: string[]
  commands: string[]
  readiness: string[]
  checks: number
  metrics: string[]
}

export default class Plugins extends BaseCommand {
  static override summary = 'List the plugins and what each brings'
  static override description =
    'Those by definePlugin that the service lists: their variables, tables, migrations, seeds, modules, commands, readiness checks and metrics. Nothing is connected.'
  static override examples = ['<%= config.bin %> plugins', '<%= config.bin %> plugins --json']
  static override enableJsonFlag = true

  async run(): Promise<Listed[]> {
    await this.parse(Plugins)
    const { service } = await this.loadService()
    const list = pluginsOf(service).map((instance) => describe(service, instance))
    if (list.length === 0) this.log('the service lists no plugin by definePlugin')
    for (const { name, plugin, ...brought } of list) {
      this.log(name === plugin ? name : `${name} (${plugin})`)
      for (const [what, value] of Object.entries(brought)) {
        const text = Array.isArray(value) ? value.join(', ') : String(value || '')
        if (text) this.log(`  ${what.padEnd(10)}  ${text}`)
      }
    }
    return list
  }
}

function describe(service: ServiceDefinition, instance: PluginInstance): Listed {
  const { definition, name } = instance
  const { needs = [], after = [], models = [], checks = [], metrics = [] } = definition
  const folder = (kind: 'migrations' | 'seeds' | 'commands') =>
    foldersOf(service, kind).find((one) => one.name === definition.name)?.directory
  const files = (kind: 'migrations' | 'seeds') => numbered(folder(kind))
  const commands = folder('commands')
  return {
    name,
    plugin: definition.name,
    variables: Object.keys(variablesOf(instance)?.properties ?? {}),
    needs: [...needs],
    after: [...after],
    models: models.map(({ table }) => table),
    migrations: files('migrations'),
    seeds: files('seeds'),
    modules: Object.keys(modulesOfPlugin(instance)),
    commands: commands
      ? Object.keys(commandsIn(commands, {})).map((id) => id.replaceAll(':', ' '))
      : [],
    readiness: Object.keys(definition.readiness ?? {}),
    checks: checks.length,
    metrics: metrics.map((metric) => `${name.replaceAll('-', '_')}_${metric.name}`),
  }
}

function numbered(directory: string | undefined): string[] {
  if (!directory) return []
  const names = readdirSync(directory).flatMap((file) => /^(\d+_\w+)\.[jt]s$/.exec(file)?.[1] ?? [])
  return names.sort()
}
