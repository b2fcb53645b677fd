import type { Drift } from '../../src/check/drift.ts'
import { BaseCommand } from '../_base.ts'

export default class MigrateVerify extends BaseCommand {
  static override summary = 'Compare models, migrations and tables'
  static override description =
    'Prints by table where the models are not what the migrations lead to, and where a table is not what the applied migrations have made of it. Changes nothing. Exits 1 where anything differs. Tables that no migration has made are left alone.'
  static override examples = [
    '<%= config.bin %> migrate verify',
    '<%= config.bin %> migrate verify --json',
  ]
  static override enableJsonFlag = true

  async run(): Promise<Drift[]> {
    await this.parse(MigrateVerify)
    return await this.withDatabase(async ({ db }, loaded) => {
      const { findDrift } = await import('../../src/check/drift.ts')
      const { drift, notes } = await findDrift(db, loaded)
      for (const note of notes) this.logToStderr(`note: ${note}`)
      for (const [table, all] of Map.groupBy(drift, (one) => one.table)) this.tell(table, all)
      if (drift.length === 0) this.log('models, migrations and tables agree')
      else process.exitCode = 1
      return drift
    })
  }

  private tell(table: string, all: readonly Drift[]): void {
    this.log('%s', table)
    for (const { of, difference } of all) {
      // Its lines begin with the table.
      const text =
        of === 'database' ? difference.slice(table.length).replace(/^[.:]\s*/, '') : difference
      this.log('%s', `  ${of.padEnd(8)}  ${text}`)
    }
  }
}
