import { join } from 'node:path'
import type { Kysely } from 'kysely'
import { errors } from '../errors.ts'
import { applyMigration, type Direction, loadMigration, type Task } from './migration/apply.ts'
import { exclusively } from './migration/lock.ts'
import { createRecords, hasRecords, type MigrationTables, readRecords } from './migration/record.ts'
import { listNumbered } from './numbered.ts'

export interface MigratorOptions<DB> {
  db: Kysely<DB>
  /** The folder of `0001_name.ts` files; one that does not exist holds no migrations. */
  directory: string
  /** How long to wait for another process that migrates the same database, in seconds; default 60. */
  lockTimeout?: number
}

/** A migration as `manage migrate status` shows it. */
export interface MigrationStatus {
  name: string
  /** `missing`: applied, but its file is gone. */
  state: 'applied' | 'pending' | 'missing'
  /** ISO 8601; `null` while it is pending. */
  applied_at: string | null
  duration_ms: number | null
}

/** A migration that was applied or taken back. */
export interface MigrationResult {
  name: string
  direction: Direction
  duration_ms: number
}

export type MigrationEvent =
  | { type: 'start'; name: string; direction: Direction }
  | ({ type: 'done' } & MigrationResult)

export interface Migrator {
  /** Every migration by name; changes nothing. */
  status(): Promise<MigrationStatus[]>
  /** The names of those that are not applied, in order; changes nothing. */
  pending(): Promise<string[]>
  /**
   * Applies what is pending, in order of name; `[]` where there is nothing to do. Any number of processes
   * may do so at once: each migration runs once, and all of them return when everything is applied.
   *
   * @throws {PlinthError} MIGRATION_INVALID before anything is applied, MIGRATION_FAILED, MIGRATION_LOCKED
   */
  migrate(on?: (event: MigrationEvent) => void): Promise<MigrationResult[]>
  /**
   * Takes back the last `steps` migrations, the newest first.
   *
   * @throws {PlinthError} as `migrate`
   */
  rollback(
    options: { steps: number },
    on?: (event: MigrationEvent) => void,
  ): Promise<MigrationResult[]>
}

/** What is left to do, given what is applied by now and how many tasks this run has done. */
type Plan = (applied: readonly string[], done: number) => Promise<Task[]>

/** Makes the migrator of one database and one folder. It holds nothing open. */
export function createMigrator<DB>(options: MigratorOptions<DB>): Migrator {
  const { directory, lockTimeout = 60 } = options
  const db = options.db as unknown as Kysely<MigrationTables>
  const list = () => listNumbered(directory, 4, errors.MIGRATION_INVALID)

  async function status(): Promise<MigrationStatus[]> {
    const files = await list()
    const records = (await hasRecords(db)) ? await readRecords(db) : []
    const all = new Map<string, MigrationStatus>()
    for (const row of records) all.set(row.name, { ...row, state: 'missing' })
    for (const { name } of files) {
      const row = all.get(name) ?? { name, applied_at: null, duration_ms: null }
      all.set(name, { ...row, state: all.has(name) ? 'applied' : 'pending' })
    }
    return [...all.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async function pending(): Promise<string[]> {
    return (await status()).filter(({ state }) => state === 'pending').map(({ name }) => name)
  }

  const planUp: Plan = async (applied) => {
    const files = await list()
    const gone = applied.find((name) => !files.some((file) => file.name === name))
    if (gone) throw missing(directory, gone)
    const rest = files.filter(({ name }) => !applied.includes(name))
    return await Promise.all(rest.map((file) => loadMigration(file, 'up')))
  }

  const planDown =
    (steps: number): Plan =>
    async (applied, done) => {
      const files = await list()
      const last = applied.slice(Math.max(0, applied.length - (steps - done))).reverse()
      return await Promise.all(
        last.map((name) => {
          const file = files.find((file) => file.name === name)
          if (!file) throw missing(directory, name)
          return loadMigration(file, 'down')
        }),
      )
    }

  /** The plan is made anew for each task: between two of them another process may have done some. */
  function run(plan: Plan, on?: (event: MigrationEvent) => void): Promise<MigrationResult[]> {
    return exclusively(db, lockTimeout, async (step) => {
      const results: MigrationResult[] = []
      for (;;) {
        const result = await step(async (connection) => {
          await createRecords(connection)
          const applied = (await readRecords(connection)).map(({ name }) => name)
          const [task] = await plan(applied, results.length)
          if (!task) return undefined
          const { name, direction } = task
          on?.({ type: 'start', name, direction })
          return { name, direction, duration_ms: await applyMigration(connection, task) }
        })
        if (!result) return results
        on?.({ type: 'done', ...result })
        results.push(result)
      }
    })
  }

  return {
    status,
    pending,
    migrate: (on) => run(planUp, on),
    rollback: ({ steps }, on) => run(planDown(steps), on),
  }
}

function missing(directory: string, name: string) {
  return errors.MIGRATION_INVALID(
    join(directory, `${name}.ts`),
    'it is applied, but its file is gone; restore the file, or delete its row in plinth_migration',
  )
}
