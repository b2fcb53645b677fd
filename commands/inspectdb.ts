import { join, relative } from 'node:path'
import * as Flags from '@oclif/core/flags'
import type { ReadSchema } from '../src/database/dialect/introspect.ts'
import type { Inspected, ModelFile } from '../src/database/inspect/model-writer.ts'
import type { SchemaState } from '../src/database/schema/state.ts'
import type { Database } from '../src/database/types.ts'
import { errors } from '../src/errors.ts'
import { BaseCommand } from './_base.ts'

interface InspectResult {
  tables: SchemaState
  /** What is to stay as it is, and what it is. */
  unmanaged: Readonly<Record<string, string>>
  notes: string[]
  /** The files that were written. */
  files: string[]
}

export default class Inspectdb extends BaseCommand {
  static override summary = 'Write models from the tables of a database'
  static override description =
    'Reads the database of DATABASE_URL and changes nothing in it. What a model cannot say is listed on stderr, and in comments above the models.'
  static override examples = [
    '<%= config.bin %> inspectdb > src/models.ts',
    '<%= config.bin %> inspectdb --table city --table country',
    '<%= config.bin %> inspectdb --out src --baseline',
    '<%= config.bin %> inspectdb --json',
  ]
  static override enableJsonFlag = true
  static override flags = {
    table: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      description: 'only this table; may be repeated',
    }),
    out: Flags.string({
      char: 'o',
      description: 'the folder for a file city/model.ts of each table, and models.ts of all',
    }),
    force: Flags.boolean({ description: 'replace models that are there', dependsOn: ['out'] }),
    baseline: Flags.boolean({
      description: 'also write migrations/0001_initial.ts, which makes these tables',
    }),
  }

  async run(): Promise<InspectResult> {
    const { flags } = await this.parse(Inspectdb)
    return await this.withDatabase(async ({ db }, { root }) => {
      const read = await this.read(db.withoutPlugins(), flags.table)
      const { inspect } = await import('../src/database/inspect/model-writer.ts')
      const { dialectOf } = await import('../src/database/portable.ts')
      const { text, files, notes, tables, unmanaged } = inspect(read, dialectOf(db))
      const recorded = flags.baseline ? await this.recorded(root) : undefined
      const written = flags.out ? await this.write(files, flags.out, flags.force) : []
      if (!flags.out) this.log('%s', text.trimEnd())
      if (recorded) written.push(await this.baseline(root, recorded, { tables, unmanaged }))
      if (flags.out) for (const file of written) this.log(`wrote ${file}`)
      for (const note of notes) this.logToStderr(`note: ${note}`)
      return { tables: read.schema, unmanaged, notes, files: written }
    })
  }

  private async read(db: Database, tables?: string[]): Promise<ReadSchema> {
    const { readSchema } = await import('../src/database/inspect/differences.ts')
    const read = await readSchema(db, { tables })
    const missing = tables?.filter((table) => !read.schema[table]) ?? []
    if (missing.length === 0) return read
    const known = Object.keys((await readSchema(db)).schema)
    throw errors.TABLE_UNKNOWN(missing.join(', '), known.join(', ') || 'none')
  }

  private async write(files: ModelFile[], folder: string, force: boolean): Promise<string[]> {
    const { writeFiles } = await import('../src/files.ts')
    const { formatted } = await import('./_format.ts')
    const placed = files.map(({ path: own, text }) => {
      const path = join(folder, own)
      return { path, text: formatted(path, text) }
    })
    writeFiles(placed, force)
    return placed.map(({ path }) => path)
  }

  /** @throws {PlinthError} FILE_EXISTS where there are migrations already */
  private async recorded(root: string) {
    const { readMigrations } = await import('../src/database/migration/loader.ts')
    const recorded = await readMigrations(join(root, 'migrations'))
    const { name } = recorded.migrations.at(0) ?? {}
    if (name)
      throw errors.FILE_EXISTS(`migrations/${name}.ts`, '--baseline is for the first migration')
    return recorded
  }

  private async baseline(
    root: string,
    recorded: Awaited<ReturnType<Inspectdb['recorded']>>,
    { tables, unmanaged }: Pick<Inspected, 'tables' | 'unmanaged'>,
  ): Promise<string> {
    const { draftMigration, writeMigration } = await import('../src/database/migration/writer.ts')
    const { formatted } = await import('./_format.ts')
    const draft = draftMigration(recorded, tables, {}, { name: 'initial', unmanaged })
    if (!draft) throw errors.TABLE_UNKNOWN('at all', 'none')
    const text = formatted(join(recorded.directory, `${draft.name}.ts`), draft.text)
    await writeMigration(recorded, { ...draft, text })
    this.logToStderr(
      `the database has these tables already: there, run manage migrate --fake --to ${draft.name}`,
    )
    return relative(process.cwd(), join(root, 'migrations', `${draft.name}.ts`))
  }
}
