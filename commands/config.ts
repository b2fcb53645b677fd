import * as Flags from '@oclif/core/flags'
import type { ConfigVariable } from '../src/config/read.ts'
import { BaseCommand } from './_base.ts'

export default class ConfigCommand extends BaseCommand {
  static override summary = 'Show the configuration and where it came from'
  static override description =
    'Reads the environment and .env, and nothing else: the service is not started. Secrets are not shown.'
  static override examples = [
    '<%= config.bin %> config',
    '<%= config.bin %> config --json',
    '<%= config.bin %> config --example > .env.example',
  ]
  static override enableJsonFlag = true
  static override flags = {
    example: Flags.boolean({ description: 'print a .env.example instead', exclusive: ['json'] }),
  }

  async run(): Promise<readonly ConfigVariable[]> {
    const { flags } = await this.parse(ConfigCommand)
    const { service, root } = await this.loadService()
    const { configOwners, defaultsOfAll } = await import('../src/kit.ts')
    const { readServiceConfig } = await import('../src/service.ts')
    if (flags.example) {
      const { renderExample } = await import('../src/config/example.ts')
      this.log(renderExample(configOwners(service), defaultsOfAll(service)).trimEnd())
      return []
    }
    const { variables } = readServiceConfig(service, { root })
    const { formatTable } = await import('./_print.ts')
    const rows = variables.map(({ name, value, origin }) => [name, formatValue(value), origin])
    this.log(formatTable([['NAME', 'VALUE', 'ORIGIN'], ...rows]))
    return variables
  }
}

// A line break or an escape sequence in a value must not reach the terminal.
function formatValue(value: unknown): string {
  const text = value === null ? '' : String(value)
  return /\p{Cc}/u.test(text) ? JSON.stringify(text) : text
}
