import { join, relative } from 'node:path'
import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import type { CodeStep, SquashDraft } from '../../src/database/migration/squash.ts'
import { BaseCommand } from '../_base.ts'

/** What `--json` prints. */
interface SquashResult {
  /** As `0004_squashed_from_0001`. */
  migration: string
  written: boolean
  replaces: string[]
  /** How many there were, and how many there are. */
  operations: { before: number; after: number }
  /** Steps in code, which are taken from files that have to stay. */
  code: readonly CodeStep[]
}

export default class MigrateSquash extends BaseCommand {
  static override summary = 'Write one migration that replaces many'
  static override description =
    'Needs no database. A database that has all of what it replaces, or some of it, goes on as before; one that has none of it takes the new one. What it replaces may be deleted when no database needs it any more.'
  static override examples = [
    '<%= config.bin %> migrate squash 0001 0040',
    '<%= config.bin %> migrate squash 0001 0040 --dry-run',
    '<%= config.bin %> migrate squash 0001_create_city 0040_add_city_kind --json',
  ]
  static override enableJsonFlag = true
  static override args = {
    from: Args.string({ required: true, description: 'the first one, by name or number' }),
    to: Args.string({ required: true, description: 'the last one, by name or number' }),
  }
  static override flags = {
    'dry-run': Flags.boolean({ description: 'print the migration; write nothing' }),
  }

  async run(): Promise<SquashResult> {
    const { args, flags } = await this.parse(MigrateSquash)
    const { root, service } = await this.loadService()
    const { foldersOf } = await import('../../src/kit.ts')
    const { readMigrations } = await import('../../src/database/migration/loader.ts')
    const { draftSquash, writeSquash } = await import('../../src/database/migration/squash.ts')
    const recorded = await readMigrations(
      join(root, 'migrations'),
      foldersOf(service, 'migrations'),
    )
    const { formatted } = await import('../_format.ts')
    const draft = draftSquash(recorded, args.from, args.to, formatted)
    if (flags['dry-run']) this.log('%s', draft.text.trimEnd())
    else await writeSquash(recorded, draft)
    return this.report(draft, !flags['dry-run'])
  }

  private report(draft: SquashDraft, written: boolean): SquashResult {
    const { name, path, before, after, code } = draft
    const replaces = draft.replaces.map((one) => one.name)
    const counts = `${before} operations of ${replaces.length} migrations are ${after}`
    if (written) this.log('%s', `wrote ${relative(process.cwd(), path)}: ${counts}`)
    else this.logToStderr(`${name}: ${counts}`)
    for (const one of code)
      this.logToStderr(
        `step ${one.step} of ${one.migration} is code and is taken from there: that file has to stay, until its code is moved`,
      )
    return { migration: name, written, replaces, operations: { before, after }, code }
  }
}
