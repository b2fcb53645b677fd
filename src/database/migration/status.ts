import type { Kysely } from 'kysely'
import { type PluginFolder, sourceOf } from '../numbered.ts'
import { waysOut } from './interrupted.ts'
import { readJournal } from './journal.ts'
import { listMigrations } from './loader.ts'
import { followNames, type MigrationTables, readRecords, recordTables } from './recorder.ts'
import { filesFor } from './squashed.ts'

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
  const records = exists ? followNames(listed, await readRecords(db)) : []
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
