import { constants } from 'node:os'
import { join } from 'node:path'
import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import type { FastifyInstance } from 'fastify'
import type { SeedResult } from '../src/database/seed/run.ts'
import type { SeedOptions } from '../src/database/seeder.ts'
import { BaseCommand } from './_base.ts'
import { migratorOf, withoutQueryTimeout } from './_database.ts'

export default class Seed extends BaseCommand {
  static override summary = 'Load the data of seeds/'
  static override description =
    'Seeds that are finished are passed over. Ctrl-C stops behind the batch at hand; the next run goes on there.'
  static override examples = [
    '<%= config.bin %> seed',
    '<%= config.bin %> seed cities --again',
    '<%= config.bin %> seed --json',
  ]
  static override enableJsonFlag = true
  static override args = {
    names: Args.string({
      multiple: true,
      ignoreStdin: true,
      description: 'only these seeds, as 02_cities or cities; default: all',
    }),
  }
  static override flags = {
    again: Flags.boolean({ description: 'also those that are finished: adds what is missing' }),
  }

  async run(): Promise<SeedResult[]> {
    const { args, flags } = await this.parse(Seed)
    return await this.withApp(
      (app, { root }) =>
        this.untilSignal(async (signal) => {
          const { names = [] } = args
          const results = await this.seed(app, root, { names, again: flags.again, signal })
          if (results.length === 0) this.log('there are no seeds')
          return results
        }),
      withoutQueryTimeout(),
    )
  }

  private async seed(app: FastifyInstance, root: string, options: SeedOptions) {
    const { createSeeder } = await import('../src/database/seeder.ts')
    const { SeedReport } = await import('./_seed-report.ts')
    const migrator = await migratorOf(app, root)
    const seeder = createSeeder({ db: app.db, migrator, directory: join(root, 'seeds') })
    const report = new SeedReport((line) => this.log(line))
    try {
      return await seeder.seed({ ...options, on: (event) => report.take(event) })
    } finally {
      report.end()
    }
  }

  /** Stops the work at the first SIGINT or SIGTERM and exits with the code of a shell; a second one kills. */
  private async untilSignal<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const stop = new AbortController()
    let code = 0
    const onSignal = (name: NodeJS.Signals) => {
      code = 128 + constants.signals[name]
      stop.abort()
    }
    process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
    try {
      return await work(stop.signal)
    } catch (error) {
      if (!stop.signal.aborted) throw error
      this.logToStderr('stopped; what was committed is kept, run manage seed again to go on there')
      return this.exit(code)
    } finally {
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
    }
  }
}
