import type { MigrationStatus } from '../../src/database/migrator.ts'
import { BaseCommand } from '../_base.ts'
import { migratorOf } from '../_database.ts'

function interrupted({ name, direction, position, remedy }: MigrationStatus): string {
  const was = direction === 'up' ? 'applied' : 'taken back'
  return `${name} is being ${was}, or that was interrupted; ${position} of its statements have happened for sure. If no process is at it, ${remedy}`
}

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
    return await this.withDatabase(async (app, loaded) => {
      const { formatTable } = await import('../_print.ts')
      const status = await (await migratorOf(app, loaded)).status()
      const rows = status.map(({ name, state, applied_at }) => [state, name, applied_at ?? ''])
      this.log(rows.length > 0 ? formatTable(rows) : 'there are no migrations')
      for (const one of status) if (one.remedy) this.logToStderr(interrupted(one))
      return status
    })
  }
}
