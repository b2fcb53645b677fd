import { join } from 'node:path'
import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import type { SeedOptions, SeedResult } from '../src/database/seed/seeder.ts'
import { errors } from '../src/errors.ts'
import type { ServiceDatabase } from '../src/service-database.ts'
import { migratorOf } from './_app.ts'
import { confirmLoss } from './_ask.ts'
import { BaseCommand } from './_base.ts'
import type { LoadedService } from './_service.ts'

const STOPPED = 'stopped; what was committed is kept, run manage seed again for the rest'
const LOSS = 'seed --fresh empties all tables'

export default class Seed extends BaseCommand {
  static override summary = 'Load the data of seeds/'
  static override description =
    'Each in one transaction, in order of name; those that are finished are passed over. Where a seed is resumable, Ctrl-C stops behind the batch at hand, and the next run goes on there.'
  static override examples = [
    '<%= config.bin %> seed',
    '<%= config.bin %> seed cities --again',
    '<%= config.bin %> seed --fresh',
    '<%= config.bin %> seed --json',
  ]
  static override enableJsonFlag = true
  static override args = {
    names: Args.string({
      multiple: true,
      description: 'only these seeds, as 02_cities or cities; default: all',
    }),
  }
  static override flags = {
    again: Flags.boolean({ description: 'also those that are finished: adds what is missing' }),
    fresh: Flags.boolean({ description: 'empty all tables first', exclusive: ['again'] }),
    yes: Flags.boolean({ char: 'y', description: 'do not ask', dependsOn: ['fresh'] }),
    force: Flags.boolean({ description: 'also in production', dependsOn: ['fresh'] }),
  }

  async run(): Promise<SeedResult[]> {
    const { args, flags } = await this.parse(Seed)
    const { names = [] } = args
    if (flags.fresh && names.length > 0)
      this.error('--fresh runs all seeds: name none', { exit: 2 })
    return await this.withDatabase(async (database, loaded) => {
      if (flags.fresh && loaded.service.sharesDatabase) throw errors.DATABASE_SHARED(LOSS)
      if (flags.fresh) await this.confirmFresh(database, flags)
      return await this.untilSignal(STOPPED, async (signal) => {
        const { again, fresh } = flags
        const unmanaged = fresh ? await this.unmanaged(loaded) : []
        const results = await this.seed(database, loaded, {
          names,
          again,
          fresh,
          unmanaged,
          signal,
        })
        if (results.length === 0) this.log('there are no seeds')
        return results
      })
    })
  }

  /** What was there before the migrations is nobody's to empty. */
  private async unmanaged({ root, service }: LoadedService): Promise<string[]> {
    const { foldersOf } = await import('../src/kit.ts')
    const { readMigrations } = await import('../src/database/migration/loader.ts')
    const folders = foldersOf(service, 'migrations')
    const recorded = await readMigrations(join(root, 'migrations'), folders)
    return Object.keys(recorded.unmanaged).filter((name) => !(name in recorded.schema))
  }

  private async confirmFresh(database: ServiceDatabase, flags: { yes: boolean; force: boolean }) {
    this.refuseInProduction(database, LOSS, flags.force)
    if (!flags.yes) await confirmLoss('Empty all tables? Their rows are lost.', LOSS)
  }

  private async seed({ db }: ServiceDatabase, loaded: LoadedService, options: SeedOptions) {
    const { foldersOf } = await import('../src/kit.ts')
    const { createSeeder } = await import('../src/database/seed/seeder.ts')
    const { withTablesOf } = await import('../src/database/own-tables.ts')
    const { SeedReport } = await import('./_seed-report.ts')
    const migrator = await migratorOf(db, loaded)
    const seeder = createSeeder({
      db: withTablesOf(db, loaded.service),
      migrator,
      directory: join(loaded.root, 'seeds'),
      plugins: foldersOf(loaded.service, 'seeds'),
    })
    const report = new SeedReport((line) => this.log(line))
    try {
      return await seeder.seed({ ...options, on: (event) => report.take(event) })
    } finally {
      report.end()
    }
  }
}
