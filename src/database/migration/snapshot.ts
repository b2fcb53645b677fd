import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { errors } from '../../errors.ts'
import { type PluginFolder, sourceOf } from '../numbered.ts'
import { print } from '../print.ts'
import { normalSchema } from '../schema/normal.ts'
import type { SchemaState } from '../schema/state.ts'
import { type LoadedMigration, listMigrations, loadMigrations, schemaAfter } from './loader.ts'

/** What `migrations/schema.json` says: the schema after a migration. */
export interface Snapshot {
  /** The newest migration, as `0003_add_city_kind`; `null` before the first. */
  readonly migration: string | null
  readonly tables: SchemaState
}

/** The migrations of a service and where they lead to, behind those of its plugins. */
export interface Recorded {
  readonly directory: string
  readonly migrations: readonly LoadedMigration[]
  /** With the tables of plugins. */
  readonly schema: SchemaState
  /** Where those of its plugins lead to: these tables are theirs. */
  readonly before: SchemaState
}

/** The tables of `schema` that are no plugin's. */
export function ownTables({ before }: Recorded, schema: SchemaState): SchemaState {
  return Object.fromEntries(Object.entries(schema).filter(([table]) => !(table in before)))
}

export function snapshotPath(directory: string): string {
  return join(directory, 'schema.json')
}

/** The text of `schema.json`: the same for the same schema, and made to be read in a review. */
export function formatSnapshot({ migration, tables }: Snapshot): string {
  return `${print({ migration, tables: normalSchema(tables) }, 'json')}\n`
}

/** The snapshot that belongs to migrations. */
export function snapshotOf(recorded: Recorded): Snapshot {
  const { migrations, schema } = recorded
  return { migration: migrations.at(-1)?.name ?? null, tables: ownTables(recorded, schema) }
}

/**
 * Reads the migrations of a folder, and of the plugins that come before it; no database is asked.
 *
 * @throws {PlinthError} MIGRATION_INVALID
 */
export async function readMigrations(
  directory: string,
  plugins: readonly PluginFolder[] = [],
): Promise<Recorded> {
  const all = await loadMigrations(await listMigrations(directory, plugins))
  const migrations = all.filter(({ name }) => sourceOf(name) === '')
  const before = schemaAfter(all.filter((one) => !migrations.includes(one)))
  return { directory, migrations, schema: schemaAfter(migrations, before), before }
}

/**
 * Checks that `schema.json` is what the migrations beside it lead to.
 *
 * @throws {PlinthError} SCHEMA_STALE
 */
export async function assertSnapshot(recorded: Recorded): Promise<void> {
  const wanted = snapshotOf(recorded)
  const path = snapshotPath(recorded.directory)
  const found = await readSnapshot(path)
  if (!found) {
    if (wanted.migration === null) return
    throw errors.SCHEMA_STALE(
      path,
      `it is missing, and the newest migration is ${wanted.migration}`,
    )
  }
  if (found.migration !== wanted.migration) {
    const [was, is] = [found, wanted].map(({ migration }) => migration ?? 'none')
    throw errors.SCHEMA_STALE(path, `it was written for ${was}, and the newest migration is ${is}`)
  }
  const other = otherTable(found.tables, wanted.tables)
  if (other) throw errors.SCHEMA_STALE(path, `the table ${other} is another one there`)
}

/**
 * @returns `undefined` where there is none
 * @throws {PlinthError} SCHEMA_STALE where it cannot be read
 */
async function readSnapshot(path: string): Promise<Snapshot | undefined> {
  try {
    const found: Snapshot = JSON.parse(await readFile(path, 'utf8'))
    return { migration: found.migration, tables: normalSchema(found.tables) }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw errors.SCHEMA_STALE.with(
      { cause },
      path,
      `it cannot be read (${(cause as Error).message})`,
    )
  }
}

function otherTable(found: SchemaState, wanted: SchemaState): string | undefined {
  const normal = normalSchema(wanted)
  return Object.keys({ ...found, ...normal }).find(
    (name) => !isDeepStrictEqual(found[name], normal[name]),
  )
}
