import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as Flags from '@oclif/core/flags'
import type { LintFinding, statementsOf } from '../src/database/migration/lint.ts'
import type { Recorded } from '../src/database/migration/loader.ts'
import type { Renames } from '../src/database/migration/renames.ts'
import type { Draft, Fills } from '../src/database/migration/writer.ts'
import type { Model } from '../src/database/model/types.ts'
import type { SchemaState } from '../src/database/schema/state.ts'
import { errors } from '../src/errors.ts'
import type { PluginInstance } from '../src/plugin.ts'
import { BaseCommand } from './_base.ts'

/** What `--json` prints. */
interface MakeResult {
  /** The migration, as `0004_add_city_kind`; `null`: there is nothing to do. */
  migration: string | null
  written: boolean
  /** Its operations, a line each. */
  changes: string[]
  findings: LintFinding[]
  /** How MySQL 8 and MariaDB do each: INSTANT, INPLACE or COPY. */
  statements: ReturnType<typeof statementsOf>
}

export default class MakeMigrations extends BaseCommand {
  static override summary = 'Write the migration that the models ask for'
  static override description =
    'Compares the models with the migrations; no database is needed. Warns of what does harm while the release before still runs.'
  static override examples = [
    '<%= config.bin %> makemigrations',
    '<%= config.bin %> makemigrations --check',
    '<%= config.bin %> makemigrations --rename city.inhabitants=city.population',
    '<%= config.bin %> makemigrations --fill city.kind=town',
    '<%= config.bin %> makemigrations --empty --name fill_kinds',
    '<%= config.bin %> makemigrations --plugin sms',
  ]
  static override enableJsonFlag = true
  static override flags = {
    name: Flags.string({
      description: 'what it is called behind its number; default: by what it does',
    }),
    check: Flags.boolean({
      description: 'write nothing; exit with 1 where models and migrations differ',
      exclusive: ['empty', 'rebuild', 'dry-run'],
    }),
    'dry-run': Flags.boolean({ description: 'print the migration; write nothing' }),
    empty: Flags.boolean({ description: 'a migration for steps that are written by hand' }),
    rename: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'old=new',
      description: 'what was renamed: city=town, or city.inhabitants=city.population',
    }),
    fill: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'table.column=value',
      description:
        'what rows that are there get for a column that needs a value; of a time also now',
    }),
    'no-rename': Flags.boolean({ description: 'nothing else was renamed; ask nothing' }),
    'allow-drop': Flags.boolean({ description: 'also write what drops tables' }),
    plugin: Flags.string({
      description: 'of this plugin of the service, into its own folder: for who writes it',
    }),
    rebuild: Flags.boolean({
      description: 'write migrations/schema.json anew from the migrations',
      exclusive: ['empty', 'dry-run'],
    }),
  }

  async run(): Promise<MakeResult> {
    const { flags } = await this.parse(MakeMigrations)
    if (!/^[a-z0-9_]+$/.test(flags.name ?? 'none')) {
      this.error('--name takes lower case letters, digits and _', { exit: 2 })
    }
    const { root, file, service } = await this.loadService()
    const { readMigrations, assertSnapshot } = await import('../src/database/migration/loader.ts')
    const make = await import('../src/database/migration/writer.ts')
    const { foldersOf, modelsOf, pluginsOf } = await import('../src/kit.ts')
    const plugins = foldersOf(service, 'migrations')
    const own = this.ownPlugin(pluginsOf(service), flags.plugin)
    const recorded = own
      ? await readMigrations(own.directory)
      : await readMigrations(join(root, 'migrations'), plugins)
    const models = own ? own.models : service.models
    if (flags.rebuild) {
      await make.writeSnapshot(recorded)
      this.log(`wrote ${own ? own.directory : 'migrations/'}schema.json`)
      return { migration: null, written: true, changes: [], findings: [], statements: [] }
    }
    await assertSnapshot(recorded)
    const plain = flags.empty
      ? make.emptyMigration(recorded, flags.name)
      : await this.draft(recorded, { models, known: modelsOf(service) }, file, flags)
    const draft = plain && !flags.check ? await this.formatted(recorded, plain) : plain
    const written = draft !== undefined && !flags.check && !flags['dry-run']
    if (written && !flags['allow-drop']) make.refuseDrops(draft)
    if (written) await make.writeMigration(recorded, draft)
    return await this.report(recorded, draft, { ...flags, written })
  }

  private async formatted(recorded: Recorded, draft: Draft): Promise<Draft> {
    const { fileOf } = await import('../src/database/migration/writer.ts')
    const { formatted } = await import('./_format.ts')
    return {
      ...draft,
      text: formatted(join(recorded.directory, fileOf(recorded, draft)), draft.text),
    }
  }

  /** Where a plugin's migrations are written, and by which models. */
  private ownPlugin(plugins: readonly PluginInstance[], name: string | undefined) {
    if (name === undefined) return undefined
    const { definition } = plugins.find((one) => one.definition.name === name) ?? {}
    if (!definition?.migrations)
      this.error(`the service has no plugin ${name} with a folder of migrations`, { exit: 2 })
    return { directory: fileURLToPath(definition.migrations), models: definition.models ?? [] }
  }

  private async draft(
    recorded: Recorded,
    { models, known }: { models: readonly Model[] | undefined; known: readonly Model[] },
    file: string,
    flags: DraftFlags,
  ): Promise<Draft | undefined> {
    const { assertModels } = await import('../src/database/model/check.ts')
    const { draftMigration } = await import('../src/database/migration/writer.ts')
    if (!models) throw errors.MODELS_MISSING(file)
    assertModels(known)
    const wanted = Object.fromEntries(models.map(({ table, state }) => [table, state]))
    const renames = await this.renames(recorded.schema, wanted, flags)
    const { name } = flags
    const draft = draftMigration(recorded, wanted, renames, { name })
    const fills = draft && (await this.fills(draft, models, flags))
    return draftMigration(recorded, wanted, renames, { name, fills })
  }

  private async fills(draft: Draft, models: readonly Model[], flags: DraftFlags): Promise<Fills> {
    const { auditFills, findUnfilled } = await import('../src/database/migration/writer.ts')
    const { askFills, namedFills } = await import('./_fills.ts')
    const named = namedFills(draft, flags.fill ?? [], (problem) => this.error(problem, { exit: 2 }))
    const fills = { ...auditFills(models), ...named }
    const unfilled = findUnfilled(draft.operations).filter(({ place }) => !(place in fills))
    const { canAsk } = await import('./_ask.ts')
    if (unfilled.length === 0 || flags.check || !canAsk() || this.jsonEnabled()) return fills
    const answers = await askFills(unfilled)
    if (!answers) this.error('broken off: nothing was written', { exit: 1 })
    return { ...fills, ...answers }
  }

  private async renames(from: SchemaState, to: SchemaState, flags: RenameFlags): Promise<Renames> {
    const { chooseRenames, namedRenames } = await import('./_renames.ts')
    const { withCases } = await import('../src/database/migration/renames.ts')
    const said = namedRenames(from, to, flags.rename ?? [], (problem) =>
      this.error(problem, { exit: 2 }),
    )
    const named = withCases(from, to, said)
    if (flags['no-rename'] || flags.check) return named
    const { canAsk } = await import('./_ask.ts')
    return await chooseRenames(from, to, named, canAsk() && !this.jsonEnabled())
  }

  private async report(
    recorded: Recorded,
    draft: Draft | undefined,
    flags: { check: boolean; 'dry-run': boolean; written: boolean; plugin?: string | undefined },
  ): Promise<MakeResult> {
    const { describe } = await import('../src/database/migration/operations/index.ts')
    const { lintMigration, statementsOf } = await import('../src/database/migration/lint.ts')
    const { fileOf } = await import('../src/database/migration/writer.ts')
    const { name = null, text = '', operations = [] } = draft ?? {}
    const changes = operations.map(describe)
    const findings = lintMigration({ operations, accept: [] }, recorded.schema)
    const statements = statementsOf(operations, recorded.schema)
    if (!draft) this.log('no changes')
    else if (flags['dry-run']) this.log(text.trimEnd())
    else for (const change of changes) this.log(change)
    if (draft && flags.written)
      this.log(`wrote ${flags.plugin ?? 'migrations'}/${fileOf(recorded, draft)}`)
    for (const { code, place, problem, remedy } of findings)
      this.logToStderr(`warning ${code} ${place}: ${problem} ${remedy}`)
    if (flags.check && draft) {
      this.logToStderr('the models and the migrations differ; run manage makemigrations')
      process.exitCode = 1
    }
    return { migration: name, written: flags.written, changes, findings, statements }
  }
}

interface DraftFlags extends RenameFlags {
  name?: string | undefined
  fill?: string[] | undefined
}

interface RenameFlags {
  rename?: string[] | undefined
  'no-rename': boolean
  check: boolean
}
