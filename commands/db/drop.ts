import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../_base.ts'
import { confirmDrop, readAttached } from './_attached.ts'

export default class DbDrop extends BaseCommand {
  static override summary = 'Drop the database of DATABASE_URL'
  static override description =
    'On a terminal it asks for the name of the database. Everything in it is lost.'
  static override examples = ['<%= config.bin %> db drop', '<%= config.bin %> db drop --force']
  static override flags = {
    force: Flags.boolean({ description: 'without asking, and also in production' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(DbDrop)
    const attached = await readAttached(await this.loadService())
    await confirmDrop(attached, flags.force)
    const { dropDatabase } = await import('../../src/database/maintenance.ts')
    const existed = await dropDatabase(attached.target)
    this.log(existed ? `dropped ${attached.name}` : `there is no ${attached.name}`)
  }
}
