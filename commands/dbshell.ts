import { errors } from '../src/errors.ts'
import { BaseCommand } from './_base.ts'

export default class Dbshell extends BaseCommand {
  static override summary = "Open the database's own shell"
  static override description =
    'Starts sqlite3, or mariadb or mysql, on the database of DATABASE_URL. What follows -- goes to that program, and so does stdin.'
  static override examples = [
    '<%= config.bin %> dbshell',
    '<%= config.bin %> dbshell -- "select count(*) from city"',
    '<%= config.bin %> dbshell -- -e "select count(*) from city"',
  ]
  static override strict = false

  async run(): Promise<void> {
    // Not argv, which oclif sorts: of two equal words it moves one.
    const { raw } = await this.parse(Dbshell)
    const { service, root } = await this.loadService()
    const { readServiceConfig } = await import('../src/service.ts')
    const { DATABASE_URL } = readServiceConfig(service, { root }).values
    if (!DATABASE_URL) throw errors.DATABASE_MISSING()
    const { databaseClient } = await import('../src/database/maintenance.ts')
    const { command, args, env } = databaseClient(DATABASE_URL, root)
    const { superviseChild } = await import('#child')
    process.exitCode = await superviseChild(
      command,
      [...args, ...raw.map(({ input }) => input)],
      env,
    )
  }
}
