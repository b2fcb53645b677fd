import { BaseCommand } from '../_base.ts'
import { readAttached } from './_attached.ts'

export default class DbCreate extends BaseCommand {
  static override summary = 'Create the database of DATABASE_URL'
  static override description =
    'One that is there already is left as it is. On MySQL it is utf8mb4; on SQLite it is the file, with its folder.'
  static override examples = ['<%= config.bin %> db create']

  async run(): Promise<void> {
    await this.parse(DbCreate)
    const { target, name } = await readAttached(await this.loadService())
    const { createDatabase } = await import('../../src/database/maintenance.ts')
    const isNew = await createDatabase(target)
    this.log(isNew ? `created ${name}` : `${name} is there already`)
  }
}
