import * as Flags from '@oclif/core/flags'
import type {
  MigrateOptions,
  MigrationResult,
  Migrator,
  PlannedMigration,
} from '../src/database/migration/migrator.ts'
import { migratorOf } from './_app.ts'
import { BaseCommand } from './_base.ts'
import { lockFlags, runOptions, settlementFlags, tellMigration } from './_database.ts'

export default class Migrate extends BaseCommand {
  static override summary = 'Apply the migrations that are pending'
  static override description =
    'Any number of processes may do so at once: each migration runs once. Where one fails, those before it stay applied. One that was interrupted goes on where it stopped, or is applied again where it was being taken back.'
  static override examples = [
    '<%= config.bin %> migrate',
    '<%= config.bin %> migrate --plan',
    '<%= config.bin %> migrate --to 0004',
    '<%= config.bin %> migrate --fake --to 0001_initial',
    '<%= config.bin %> migrate status',
    '<%= config.bin %> migrate rollback --steps 2',
  ]
  static override enableJsonFlag = true
  static override flags = {
    to: Flags.string({ description: 'the last one to apply, by name or number; default: all' }),
    plan: Flags.boolean({ description: 'print the SQL and change nothing' }),
    fake: Flags.boolean({
      description: 'record them without running them: the tables are there already',
    }),
    'allow-out-of-order': Flags.boolean({
      description: 'also those that come before an applied one',
    }),
    'accept-changed': Flags.string({
      multiple: true,
      description: 'take the changed file of an applied migration as it is now',
    }),
    ...settlementFlags,
    ...lockFlags,
  }

  async run(): Promise<MigrationResult[] | PlannedMigration[]> {
    const { flags } = await this.parse(Migrate)
    const options: MigrateOptions = {
      to: flags.to,
      allowOutOfOrder: flags['allow-out-of-order'],
      fake: flags.fake,
      acceptChanged: flags['accept-changed'] ?? [],
      ...runOptions(flags),
    }
    return await this.withDatabase(async ({ db }, loaded) => {
      const migrator = await migratorOf(db, loaded)
      return flags.plan ? await this.plan(migrator, options) : await this.apply(migrator, options)
    })
  }

  private async plan(migrator: Migrator, options: MigrateOptions): Promise<PlannedMigration[]> {
    const planned = await migrator.plan(options)
    for (const { name, statements } of planned) {
      this.log(`-- ${name}\n${statements.map((one) => `${one};\n`).join('')}`)
    }
    if (planned.length === 0) this.log('-- nothing to apply')
    return planned
  }

  private async apply(migrator: Migrator, options: MigrateOptions): Promise<MigrationResult[]> {
    const results = await migrator.migrate({
      ...options,
      on: (event) => {
        tellMigration(event, (line) => this.logToStderr(line))
        const verb = options.fake ? 'recorded' : 'applied'
        if (event.type === 'done') this.log(`${verb} ${event.name} (${event.duration_ms} ms)`)
      },
    })
    if (results.length === 0) this.log('nothing to apply')
    return results
  }
}
