import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Kysely } from 'kysely'
import { differences, readSchema } from '../database/inspect/differences.ts'
import { chooseUp, followNames } from '../database/migration/files.ts'
import {
  listMigrations,
  loadMigrations,
  type Recorded,
  readMigrations,
  schemaAfter,
} from '../database/migration/loader.ts'
import { readStatus } from '../database/migration/migrator.ts'
import { describe } from '../database/migration/operations/index.ts'
import type { SchemaOperation } from '../database/migration/operations/operation.ts'
import { type MigrationTables, recorded } from '../database/migration/recorder.ts'
import { withCases } from '../database/migration/renames.ts'
import { draftMigration } from '../database/migration/writer.ts'
import type { Model } from '../database/model/types.ts'
import { withTablesOf } from '../database/own-tables.ts'
import { dialectOf } from '../database/portable.ts'
import type { Database } from '../database/types.ts'
import type { ServiceDefinition } from '../define-service.ts'
import { errors, PlinthError } from '../errors.ts'
import { foldersOf, pluginsOf } from '../kit.ts'

interface Checked {
  readonly root: string
  readonly service: ServiceDefinition
}

/** Where models, migrations and tables do not say the same of a table. */
export interface Drift {
  readonly table: string
  /** `models`: they are not what the migrations lead to; `database`: its table is not what the applied ones have made. */
  readonly of: 'models' | 'database'
  readonly difference: string
}

/** Models and the migrations that are to lead to them: a service's, or a plugin's. */
export interface ModelSource {
  /** Of a service `''`. */
  readonly plugin: string
  readonly models: readonly Model[]
  readonly read: () => Promise<Recorded>
}

/** All models of a service that have migrations. */
export function modelSources({ root, service }: Checked): ModelSource[] {
  const directory = join(root, 'migrations')
  const sources: ModelSource[] = []
  if (service.models && existsSync(directory)) {
    const read = () => readMigrations(directory, foldersOf(service, 'migrations'))
    sources.push({ plugin: '', models: service.models, read })
  }
  for (const definition of new Set(pluginsOf(service).map(({ definition }) => definition))) {
    const { name, migrations, models = [] } = definition
    if (!migrations) continue
    sources.push({ plugin: name, models, read: () => readMigrations(fileURLToPath(migrations)) })
  }
  return sources
}

/**
 * What a migration would have to do for the models of `source`.
 *
 * @throws {PlinthError} MIGRATION_INVALID; MIGRATION_UNSUPPORTED for another primary key
 */
export async function missingOperations({
  models,
  read,
}: ModelSource): Promise<readonly SchemaOperation[]> {
  const wanted = Object.fromEntries(models.map(({ table, state }) => [table, state]))
  const recorded = await read()
  const draft = draftMigration(recorded, wanted, withCases(recorded.schema, wanted))
  return draft?.operations ?? []
}

/**
 * Compares the models with what the migrations lead to, and the tables with what those have made that are applied. Tables that no migration
 * has made are others'.
 *
 * @throws {PlinthError} MIGRATION_INTERRUPTED, MIGRATION_CHANGED, MIGRATION_INVALID, DATABASE_NEWER: it is not known then what the tables should be
 */
export async function findDrift(
  db: Database,
  checked: Checked,
): Promise<{ drift: Drift[]; notes: string[] }> {
  const models: Drift[] = []
  for (const source of modelSources(checked)) models.push(...(await modelDrift(source)))
  const { drift, notes } = await tableDrift(db, checked)
  return { drift: [...models, ...drift].toSorted(byTable), notes }
}

const byTable = (a: Drift, b: Drift) => (a.table < b.table ? -1 : a.table > b.table ? 1 : 0)

async function modelDrift(source: ModelSource): Promise<Drift[]> {
  try {
    const operations = await missingOperations(source)
    return operations.map((one) => ({
      table: one.type === 'renameTable' ? one.from : one.table,
      of: 'models',
      difference: describe(one),
    }))
  } catch (error) {
    if (!PlinthError.is(error) || error.code !== errors.MIGRATION_UNSUPPORTED.code) throw error
    const table = /^No operation changes the primary key of (\S+) /.exec(error.message)?.[1] ?? ''
    return [{ table, of: 'models', difference: error.message }]
  }
}

/**
 * The tables alone, and what of them no schema says: triggers, indexes with a condition.
 *
 * @throws {PlinthError} as `findDrift`
 */
export async function tableDrift(
  db: Database,
  { root, service }: Checked,
): Promise<{ drift: Drift[]; notes: string[] }> {
  const directory = join(root, 'migrations')
  const plugins = foldersOf(service, 'migrations')
  const records = withTablesOf(db, service) as unknown as Kysely<MigrationTables>
  const status = await readStatus(records, directory, plugins)
  const interrupted = status.find(({ state }) => state === 'interrupted')
  if (interrupted)
    throw errors.MIGRATION_INTERRUPTED(interrupted.name, `First ${interrupted.remedy}`)
  const files = await listMigrations(directory, plugins)
  const all = { allowOutOfOrder: true }
  const known = followNames(files, await recorded(records))
  const { applied } = chooseUp(directory, files, known.records, all)
  const wanted = schemaAfter(await loadMigrations(applied))
  const { schema, notes } = await readSchema(db, { tables: Object.keys(wanted) })
  const drift = Object.entries(wanted).flatMap(([table, state]) => {
    const found = schema[table]
    const lines = differences({ [table]: state }, found ? { [table]: found } : {}, dialectOf(db))
    return lines.map((difference): Drift => ({ table, of: 'database', difference }))
  })
  return { drift, notes }
}
