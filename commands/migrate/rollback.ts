import * as Flags from '@oclif/core/flags'
import type { MigrationResult } from '../../src/database/migrator.ts'
import { BaseCommand } from '../_base.ts'
import { migratorOf, withoutQueryTimeout } from '../_database.ts'

export default class MigrateRollback extends BaseCommand {
  static override summary = 'Take back the last migrations'
  static override description =
    'Runs their down functions, the newest first. What was stored in the tables and columns they drop is lost.'
  static override examples = [
    '<%= config.bin %> migrate rollback',
    '<%= config.bin %> migrate rollback --steps 3',
  ]
  static override enableJsonFlag = true
  static override flags = {
    steps: Flags.integer({ min: 1, default: 1, description: 'how many migrations' }),
    force: Flags.boolean({ description: 'also in production' }),
  }

  async run(): Promise<MigrationResult[]> {
    const { flags } = await this.parse(MigrateRollback)
    return await this.withApp(async (app, { root }) => {
      this.refuseInProduction(
        app,
        'a rollback drops tables and columns with their data',
        flags.force,
      )
      const migrator = await migratorOf(app, root)
      const results = await migrator.rollback({ steps: flags.steps }, (event) => {
        if (event.type === 'done') this.log(`took back ${event.name} (${event.duration_ms} ms)`)
      })
      if (results.length === 0) this.log('nothing to take back')
      return results
    }, withoutQueryTimeout())
  }
}
