import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../_base.ts'
import { confirmDrop, readAttached } from './_attached.ts'

export default class DbReset extends BaseCommand {
  static override summary = 'Drop the database, create it, migrate and seed it'
  static override description =
    'On a terminal it asks for the name of the database. Everything in it is lost.'
  static override examples = [
    '<%= config.bin %> db reset',
    '<%= config.bin %> db reset --force --no-seed',
  ]
  static override flags = {
    force: Flags.boolean({ description: 'without asking, and also in production' }),
    seed: Flags.boolean({ default: true, allowNo: true, description: 'load the data of seeds/' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(DbReset)
    const attached = await readAttached(await this.loadService())
    await confirmDrop(attached, flags.force)
    const { createDatabase, dropDatabase } = await import('../../src/database/maintenance.ts')
    if (await dropDatabase(attached.target)) this.log(`dropped ${attached.name}`)
    await createDatabase(attached.target)
    this.log(`created ${attached.name}`)
    const { default: Migrate } = await import('../migrate.ts')
    await Migrate.run([], this.config)
    if (!flags.seed) return
    const { default: Seed } = await import('../seed.ts')
    await Seed.run([], this.config)
  }
}
