import { join } from 'node:path'
import * as Flags from '@oclif/core/flags'
import type { ConfigOwner, ConfigVariable } from '../src/config/read.ts'
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

  async run(): Promise<readonly ConfigVariable[] | undefined> {
    const { flags } = await this.parse(ConfigCommand)
    const { service, root } = await this.loadService()
    const { configOwners } = await import('../src/service.ts')
    const owners = configOwners(service)
    if (flags.example) return this.printExample(owners)
    const { readConfig } = await import('../src/config/read.ts')
    const { variables } = readConfig(owners, { dotenv: join(root, '.env') })
    this.log(formatTable(variables).join('\n'))
    return variables
  }

  private async printExample(owners: readonly ConfigOwner[]): Promise<undefined> {
    const { renderExample } = await import('../src/config/example.ts')
    this.log(renderExample(owners).trimEnd())
  }
}

function formatTable(variables: readonly ConfigVariable[]): string[] {
  const rows = [
    ['NAME', 'VALUE', 'ORIGIN'],
    ...variables.map(({ name, value, origin }) => [name, formatValue(value), origin]),
  ]
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  '))
}

// A line break or an escape sequence in a value must not break the table or the terminal.
function formatValue(value: unknown): string {
  const text = value === null ? '' : String(value)
  return /\p{Cc}/u.test(text) ? JSON.stringify(text) : text
}
