import type { Kysely } from 'kysely'
import { type PluginFolder, sourceOf } from '../numbered.ts'
import { dialectOf } from '../portable.ts'
import type { Compile, RunOptions, Work } from './executor.ts'
import {
  type ChooseUp,
  chooseDown,
  chooseUp,
  filesFor,
  followNames,
  type MigrationFile,
} from './files.ts'
import { readJournal, waysOut } from './journal.ts'
import { listMigrations, readStart } from './loader.ts'
import { runOnMysql } from './mysql-executor.ts'
import {
  acceptFiles,
  type MigrationTables,
  readRecords,
  recorded,
  recordNames,
  recordTables,
} from './recorder.ts'
import { runOnSqlite } from './sqlite-executor.ts'
import {
  describeStep,
  type MigrationResult,
  type OnMigration,
  tasksDown,
  tasksUp,
  unseen,
} from './task.ts'

export type { MigrationEvent, MigrationResult } from './task.ts'

export interface MigratorOptions<DB> {
  db: Kysely<DB>
  /** The folder of `0001_name.ts` files; one that does not exist holds no migrations. */
  directory: string
  /** Those of plugins, which come first, in this order. */
  plugins?: readonly PluginFolder[]
}

export interface MigrateOptions extends RunOptions, ChooseUp {
  /** Record the migrations without running them. Default false. */
  fake?: boolean
  /** Names of migrations whose changed files are accepted as they are. */
  acceptChanged?: readonly string[]
}

export interface RollbackOptions extends RunOptions {
  /** How many. */
  steps: number
  /** Forget them without running anything. Default false. */
  fake?: boolean
}

/** A migration that is to be applied, and its SQL for this database. */
export interface PlannedMigration {
  name: string
  statements: string[]
}

export interface Migrator {
  /** Every migration by name; changes nothing, runs no code of them. */
  status(): Promise<MigrationStatus[]>
  /** The names of those that are not applied, in order; changes nothing. */
  pending(): Promise<string[]>
  /** What `migrate` would do; changes nothing. */
  plan(options?: ChooseUp): Promise<PlannedMigration[]>
  /**
   * Applies what is pending, in order of name; `[]` where there is nothing to do. Any number of processes
   * may do so at once: each migration runs once, and all of them return when everything is applied. What was taken back in
   * part is applied again.
   *
   * @throws {PlinthError} before anything is applied MIGRATION_INVALID, MIGRATION_CHANGED, MIGRATION_OUT_OF_ORDER,
   *   DATABASE_NEWER, MIGRATION_UNKNOWN, MIGRATION_LOCKED, MIGRATION_INTERRUPTED; MIGRATION_FAILED
   */
  migrate(options?: MigrateOptions): Promise<MigrationResult[]>
  /**
   * Takes back the last `steps` migrations, the newest first. One that was applied in part is the first of them.
   *
   * @throws {PlinthError} as `migrate`
   */
  rollback(options: RollbackOptions): Promise<MigrationResult[]>
}

/** Makes the migrator of one database and one folder. It holds nothing open. */
export function createMigrator<DB>({
  directory,
  plugins = [],
  ...options
}: MigratorOptions<DB>): Migrator {
  const db = options.db as unknown as Kysely<MigrationTables>
  const dialect = dialectOf(db)
  const list = () => listMigrations(directory, plugins)

  async function plan(wanted: ChooseUp = {}): Promise<PlannedMigration[]> {
    const files = await list()
    const { records } = followNames(files, await recorded(db))
    const start = await startOf(files, records.length, wanted)
    const chosen = chooseUp(directory, files, records, { ...wanted, start })
    const tasks = await tasksUp(chosen, dialect)
    return tasks.map(({ name, steps }) => ({ name, statements: steps.map(describeStep) }))
  }

  const runTasks = (work: Omit<Work, 'lockTimeout' | 'on'> & RunOptions) =>
    (dialect === 'sqlite' ? runOnSqlite : runOnMysql)(db, {
      lockTimeout: 60,
      on: () => {},
      ...work,
    })

  function compiling(fake = false): Compile {
    return {
      async up(chosen) {
        const tasks = await tasksUp(chosen, dialect)
        return fake ? tasks.map((task) => unseen(task, 'up')) : tasks
      },
      down: async (chosen, interrupted) =>
        fake
          ? chosen.todo.map((file) => unseen(file, 'down'))
          : await tasksDown(chosen, dialect, interrupted),
    }
  }

  /** Also where nothing else is to be done: the next release has other files. @returns how many are applied */
  async function follow(files: readonly MigrationFile[], on?: OnMigration): Promise<number> {
    const { names, count } = await recordNames(db, files)
    for (const [name, from] of names) on?.({ type: 'renumbered', name, from })
    return count
  }

  /** What an empty database may begin with. */
  async function startOf(
    files: readonly MigrationFile[],
    applied: number,
    { to, fake = false }: MigrateOptions = {},
  ): Promise<MigrationFile | undefined> {
    if (applied > 0 || to !== undefined || fake) return undefined
    return await readStart(directory, plugins, filesFor(files, []))
  }

  async function migrate(wanted: MigrateOptions = {}): Promise<MigrationResult[]> {
    const { fake = false, acceptChanged = [] } = wanted
    const files = await list()
    const start = await startOf(files, await follow(files, wanted.on), wanted)
    await acceptFiles(db, files, acceptChanged)
    const results = await runTasks({
      ...wanted,
      on: (event) => {
        if (event.type !== 'done') wanted.on?.(event)
        else for (const one of each(event, start)) wanted.on?.({ type: 'done', ...one })
      },
      direction: 'up',
      choose: (records) => chooseUp(directory, files, records, { ...wanted, start }),
      compile: compiling(fake),
    })
    return results.flatMap((one) => each(one, start))
  }

  async function rollback({ steps, ...wanted }: RollbackOptions): Promise<MigrationResult[]> {
    const files = await list()
    const start = await startOf(files, await follow(files, wanted.on))
    return await runTasks({
      ...wanted,
      direction: 'down',
      choose: (records, done) =>
        chooseDown(directory, files, records, Math.max(0, steps - done), start),
      compile: compiling(wanted.fake),
    })
  }

  const status = () => readStatus(db, directory, plugins)
  const pending = async () =>
    (await status()).filter(({ state }) => PENDING.has(state)).map(({ name }) => name)
  return { status, pending, plan, migrate, rollback }
}

/** The migrations that a start has applied in one step; of any other, itself. */
function each(
  { name, direction, duration_ms }: MigrationResult,
  start: MigrationFile | undefined,
): MigrationResult[] {
  const parts = name === start?.name ? (start.start?.parts ?? []) : []
  if (parts.length === 0) return [{ name, direction, duration_ms }]
  const share = Math.round(duration_ms / parts.length)
  return parts.map((part) => ({ name: part.name, direction, duration_ms: share }))
}

const PENDING: ReadonlySet<MigrationStatus['state']> = new Set(['pending', 'interrupted'])

// ---- status

/** A migration as `manage migrate status` shows it. */
export interface MigrationStatus {
  name: string
  /**
   * `changed`: applied, but its file is another now. `missing`: applied, but its file is gone. `interrupted`: it is
   * being applied or taken back, or that was cut short; any of its statements may have happened.
   */
  state: 'applied' | 'pending' | 'changed' | 'missing' | 'interrupted'
  /** ISO 8601; `null` while it is pending. */
  applied_at: string | null
  duration_ms: number | null
  /** Which way it is under way, where it is interrupted. */
  direction: 'up' | 'down' | null
  /** How many of its statements have happened for sure, where it is interrupted. */
  position: number | null
  /** The commands that end it, where it is interrupted. */
  remedy: string | null
}

const NOT_UNDER_WAY = { direction: null, position: null, remedy: null } as const

/** Every migration, those of plugins first, by name; changes nothing and runs no code of migrations. */
export async function readStatus(
  db: Kysely<MigrationTables>,
  directory: string,
  plugins: readonly PluginFolder[] = [],
): Promise<MigrationStatus[]> {
  const listed = await listMigrations(directory, plugins)
  const exists = (await recordTables(db)).has('plinth_migration')
  const { records } = followNames(listed, exists ? await readRecords(db) : [])
  const files = new Map(filesFor(listed, records).map((file) => [file.name, file]))
  const underWay = exists ? await readJournal(db) : undefined
  const all = new Map<string, MigrationStatus>()
  for (const name of files.keys()) {
    all.set(name, { name, state: 'pending', applied_at: null, duration_ms: null, ...NOT_UNDER_WAY })
  }
  for (const { checksum, underWay: _, ...row } of records) {
    const file = files.get(row.name)
    const state = file ? (file.checksum === checksum ? 'applied' : 'changed') : 'missing'
    all.set(row.name, { ...row, state, ...NOT_UNDER_WAY })
  }
  if (underWay) {
    const { migration: name, direction, position } = underWay
    const row = all.get(name) ?? { name, applied_at: null, duration_ms: null }
    const remedy = waysOut(direction)
    all.set(name, { ...row, state: 'interrupted', direction, position, remedy })
  }
  const sources = [...plugins.map(({ name }) => `${name}/`), '']
  const rank = ({ name }: MigrationStatus) => sources.indexOf(sourceOf(name))
  return [...all.values()].sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1))
}
