import type { MigrationResult } from '../src/database/migrator.ts'
import { BaseCommand } from './_base.ts'
import { migratorOf, withoutQueryTimeout } from './_database.ts'

export default class Migrate extends BaseCommand {
  static override summary = 'Apply the migrations that are pending'
  static override description =
    'Any number of processes may do so at once: each migration runs once. Where one fails, those before it stay applied.'
  static override examples = [
    '<%= config.bin %> migrate',
    '<%= config.bin %> migrate --json',
    '<%= config.bin %> migrate status',
    '<%= config.bin %> migrate rollback --steps 2',
  ]
  static override enableJsonFlag = true

  async run(): Promise<MigrationResult[]> {
    await this.parse(Migrate)
    return await this.withApp(async (app, { root }) => {
      const migrator = await migratorOf(app, root)
      const results = await migrator.migrate((event) => {
        if (event.type === 'done') this.log(`applied ${event.name} (${event.duration_ms} ms)`)
      })
      if (results.length === 0) this.log('nothing to apply')
      return results
    }, withoutQueryTimeout())
  }
}
