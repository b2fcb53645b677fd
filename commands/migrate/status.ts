import type { MigrationStatus } from '../../src/database/migration/migrator.ts'
import { BaseCommand } from '../_base.ts'
import { listMigrations } from '../_status.ts'

export default class MigrateStatus extends BaseCommand {
  static override summary = 'List the migrations and which are applied'
  static override description =
    'Changes nothing. A migration that is applied, but whose file is gone, is shown as missing.'
  static override examples = [
    '<%= config.bin %> migrate status',
    '<%= config.bin %> migrate status --json',
  ]
  static override enableJsonFlag = true

  async run(): Promise<MigrationStatus[]> {
    await this.parse(MigrateStatus)
    return await listMigrations(this.script, (line) => this.log(line))
  }
}
