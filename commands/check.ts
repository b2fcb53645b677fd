import * as Flags from '@oclif/core/flags'
import type { DecidedAccess } from '../src/auth/access-matrix.ts'
import type { Finding } from '../src/check.ts'
import type { ResourceRegistry } from '../src/resource/registry.ts'
import { BaseCommand } from './_base.ts'

export default class Check extends BaseCommand {
  static override summary = 'Check that the service is fit to run'
  static override description =
    'Reads the configuration, builds the app, asks every attached resource, looks at request schemas for what may take long to validate, looks for migrations that have not been applied, for models that they do not lead to, and at what they would do to the release that is running, and for orders and filters of long lists that no index serves. Exits 1 when something is wrong.'
  static override examples = [
    '<%= config.bin %> check',
    '<%= config.bin %> check --json',
    '<%= config.bin %> check --strict',
    '<%= config.bin %> check --auth',
  ]
  static override enableJsonFlag = true
  static override flags = {
    strict: Flags.boolean({ description: 'exit with 1 for a warning, too' }),
    auth: Flags.boolean({
      description: 'list what nobody and what a user gets of each operation, and check nothing',
      exclusive: ['strict'],
    }),
  }

  async run(): Promise<Finding[] | DecidedAccess[]> {
    const { flags } = await this.parse(Check)
    if (flags.auth)
      return await this.withApp(async ({ registry }) => await this.listAccess(registry))
    const loaded = await this.loadService()
    const { checkService } = await import('../src/check.ts')
    const findings = await checkService(loaded)
    for (const { level, check, message } of findings)
      this.log(`${level.padEnd(7)} ${check}: ${message}`)
    const isBad = ({ level }: Finding) => level === 'error' || (flags.strict && level === 'warning')
    if (findings.some(isBad)) process.exitCode = 1
    return findings
  }

  private async listAccess(registry: ResourceRegistry): Promise<DecidedAccess[]> {
    const { decidedAccess } = await import('../src/auth/access-matrix.ts')
    const { formatTable } = await import('./_print.ts')
    const decided = decidedAccess(registry)
    const rows = decided.map(({ operation, method, path, nobody, user }) => [
      operation,
      method,
      path,
      nobody,
      user,
    ])
    this.log(formatTable([['OPERATION', 'METHOD', 'PATH', 'NOBODY', 'A USER'], ...rows]))
    return decided
  }
}
