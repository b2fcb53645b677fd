import { createWriteStream, renameSync, rmSync } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import * as Flags from '@oclif/core/flags'
import { errors } from '../../src/errors.ts'
import { BaseCommand } from '../_base.ts'
import { readAttached } from './_attached.ts'

export default class DbDump extends BaseCommand {
  static override summary = 'Write the database as SQL'
  static override description =
    'To stdout, or to a file that is there only when all of it is. MySQL needs mariadb-dump or mysqldump, SQLite no program.'
  static override examples = [
    '<%= config.bin %> db dump > backup.sql',
    '<%= config.bin %> db dump --out backup.sql',
    '<%= config.bin %> db dump --schema-only',
  ]
  static override flags = {
    out: Flags.string({ char: 'o', description: 'the file; one that is there is replaced' }),
    'schema-only': Flags.boolean({ description: 'without the rows' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(DbDump)
    const { target } = await readAttached(await this.loadService())
    const { dumpDatabase } = await import('../../src/database/maintenance.ts')
    const sql = dumpDatabase(target, { schemaOnly: flags['schema-only'] })
    if (flags.out === undefined) return await toStdout(sql)
    await toFile(sql, flags.out)
    this.logToStderr(`wrote ${flags.out}`)
  }
}

type Sql = AsyncIterable<string | Buffer>

async function toStdout(sql: Sql): Promise<void> {
  try {
    await pipeline(sql, process.stdout, { end: false })
  } catch (error) {
    // The reader has had enough: `| head`.
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
  }
}

async function toFile(sql: Sql, file: string): Promise<void> {
  const part = `${file}.part`
  try {
    await pipeline(sql, createWriteStream(part, { mode: 0o600 }))
    renameSync(part, file)
  } catch (error) {
    const { code, message, path } = error as NodeJS.ErrnoException
    throw code && path ? errors.FILE_UNWRITABLE.with({ cause: error }, file, message) : error
  } finally {
    rmSync(part, { force: true })
  }
}
