import { readdirSync } from 'node:fs'
import type { ServiceDefinition } from '../src/define-service.ts'
import { PlinthError } from '../src/errors.ts'
import { foldersOf } from '../src/kit.ts'
import { modulesOfPlugin, variablesOf } from '../src/plugin.ts'
import { type PlannedPlugin, planPlugins, readServiceConfig } from '../src/service.ts'
import { BaseCommand } from './_base.ts'
import { commandsIn } from './_folder.ts'

/** By plugin of the kit, the words of its commands; they are in a table of their own, which lists them without any plugin. */
export const KIT_COMMANDS: Readonly<Record<string, readonly string[]>> = {
  cache: ['cache'],
  config: ['config'],
  database: ['db', 'dbshell', 'inspectdb', 'makemigrations', 'migrate', 'seed'],
  resources: ['call', 'replay', 'resources'],
  tasks: ['schedule', 'tasks', 'worker'],
}

/** What a use of a plugin brings: the names of it. */
interface Listed {
  name: string
  /** The plugin, where this use of it has another name. */
  plugin: string
  attached: boolean
  /** What to do for it to be attached; null where it is. */
  absent: string | null
  variables: string[]
  needs: string[]
  after: string[]
  decorators: string[]
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
    'Those of the kit, and those by definePlugin that the service lists: whether they are attached by this configuration, else why not, their variables, decorators, tables, migrations, seeds, modules, commands, readiness checks and metrics. Nothing is connected.'
  static override examples = ['<%= config.bin %> plugins', '<%= config.bin %> plugins --json']
  static override enableJsonFlag = true

  async run(): Promise<Listed[]> {
    await this.parse(Plugins)
    const { service, root } = await this.loadService()
    const planned = planPlugins(service, readServiceConfig(service, { root }), root)
    const list = planned.map((one) => describe(service, one))
    for (const { name, plugin, attached, absent, ...brought } of list) {
      const whose = name === plugin ? name : `${name} (${plugin})`
      this.log(attached ? whose : `${whose}, not attached: ${absent}`)
      for (const [what, value] of Object.entries(brought)) {
        const text = Array.isArray(value) ? value.join(', ') : String(value || '')
        if (text) this.log(`  ${what.padEnd(10)}  ${text}`)
      }
    }
    return list
  }
}

function describe(service: ServiceDefinition, { instance, absent }: PlannedPlugin): Listed {
  const { definition, name } = instance
  const {
    needs = [],
    after = [],
    decorators = [],
    models = [],
    checks = [],
    metrics = [],
  } = definition
  const folder = (kind: 'migrations' | 'seeds' | 'commands') =>
    foldersOf(service, kind).find((one) => one.name === definition.name)?.directory
  const files = (kind: 'migrations' | 'seeds') => numbered(folder(kind))
  const commands = folder('commands')
  const ids = commands ? Object.keys(commandsIn(commands, {})) : (KIT_COMMANDS[name] ?? [])
  return {
    name,
    plugin: definition.name,
    attached: absent === undefined,
    absent: PlinthError.is(absent) ? absent.message : (absent ?? null),
    variables: Object.keys(variablesOf(instance)?.properties ?? {}),
    needs: [...needs],
    after: [...after],
    decorators: name === definition.name ? [...decorators] : renamed(decorators, name),
    models: models.map(({ table }) => table),
    migrations: files('migrations'),
    seeds: files('seeds'),
    modules: Object.keys(modulesOfPlugin(instance)),
    commands: ids.map((id) => id.replaceAll(':', ' ')),
    readiness: Object.keys(definition.readiness ?? {}),
    checks: checks.length,
    metrics: metrics.map((metric) => `${name.replaceAll('-', '_')}_${metric.name}`),
  }
}

/** What a use of another name adds. */
function renamed(decorators: readonly string[], name: string): string[] {
  return [...new Set(decorators.map((one) => (one === 'auth' ? one : name)))]
}

function numbered(directory: string | undefined): string[] {
  if (!directory) return []
  const names = readdirSync(directory).flatMap((file) => /^(\d+_\w+)\.[jt]s$/.exec(file)?.[1] ?? [])
  return names.sort()
}
