import * as Flags from '@oclif/core/flags'
import type { MigrationResult } from '../../src/database/migration/migrator.ts'
import { migratorOf } from '../_app.ts'
import { confirmLoss, lossFlags } from '../_ask.ts'
import { BaseCommand } from '../_base.ts'
import { lockFlags, runOptions, settlementFlags, tellMigration } from '../_database.ts'

const LOSS = 'a rollback drops tables and columns with their data'

export default class MigrateRollback extends BaseCommand {
  static override summary = 'Take back the last migrations'
  static override description =
    'The newest first; one that was interrupted comes before all others. What was stored in the tables and columns they drop is lost, so it asks on a terminal.'
  static override examples = [
    '<%= config.bin %> migrate rollback',
    '<%= config.bin %> migrate rollback --steps 3',
    '<%= config.bin %> migrate rollback --yes',
  ]
  static override enableJsonFlag = true
  static override flags = {
    steps: Flags.integer({ min: 1, default: 1, description: 'how many migrations' }),
    fake: Flags.boolean({
      description: 'forget them without running anything: what they made is gone already',
    }),
    ...lossFlags,
    ...settlementFlags,
    ...lockFlags,
  }

  async run(): Promise<MigrationResult[]> {
    const { flags } = await this.parse(MigrateRollback)
    return await this.withDatabase(async (database, loaded) => {
      this.refuseInProduction(database, LOSS, flags.force)
      const migrator = await migratorOf(database.db, loaded)
      const question = `Take back the last ${flags.steps} migrations? Data is lost.`
      if (!flags.yes) await confirmLoss(question, LOSS)
      const results = await migrator.rollback({
        steps: flags.steps,
        fake: flags.fake,
        ...runOptions(flags),
        on: (event) => {
          tellMigration(event, (line) => this.logToStderr(line))
          if (event.type !== 'done') return
          // What was interrupted while it was applied may turn out to be applied.
          const verb = event.direction === 'up' ? 'applied' : flags.fake ? 'forgot' : 'took back'
          this.log(`${verb} ${event.name} (${event.duration_ms} ms)`)
        },
      })
      if (results.length === 0) this.log('nothing to take back')
      return results
    })
  }
}
