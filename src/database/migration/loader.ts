import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { errors } from '../../errors.ts'
import {
  importNumbered,
  listWithPlugins,
  type NumberedFile,
  type PluginFolder,
} from '../numbered.ts'
import type { SchemaState } from '../schema/state.ts'
import { type Migration, type Operation, replayAll } from './operations/index.ts'

/** A file of `migrations/` that has not been loaded. */
export interface MigrationFile extends NumberedFile {
  /** SHA-256 of its text, in hexadecimal; the ends of its lines do not count. */
  checksum: string
}

export interface LoadedMigration extends MigrationFile, Migration {}

/**
 * Lists the migrations of plugins, and behind them those of a folder, each by name; none of their code runs.
 *
 * @throws {PlinthError} MIGRATION_INVALID where a module has no number, or two have the same
 */
export async function listMigrations(
  directory: string,
  plugins: readonly PluginFolder[] = [],
): Promise<MigrationFile[]> {
  const files = await listWithPlugins(plugins, directory, 4, errors.MIGRATION_INVALID)
  // Many small files: to wait for each takes longer than to read them.
  return files.map((file) => ({ ...file, checksum: checksum(readFileSync(file.path, 'utf8')) }))
}

/**
 * Loads migrations.
 *
 * @throws {PlinthError} MIGRATION_INVALID where one cannot be loaded or is no migration
 */
export async function loadMigrations(files: readonly MigrationFile[]): Promise<LoadedMigration[]> {
  return await Promise.all(files.map(loadMigration))
}

async function loadMigration(file: MigrationFile): Promise<LoadedMigration> {
  const { default: migration } = await importNumbered(file, errors.MIGRATION_INVALID)
  const { operations, accept } = (migration ?? {}) as Partial<Migration>
  if (!Array.isArray(operations)) {
    throw errors.MIGRATION_INVALID(
      file.path,
      "it has no default export made by defineMigration([…]) of 'plinth/migration'",
    )
  }
  const strange = operations.findIndex((one) => typeof (one as Operation)?.type !== 'string')
  if (strange >= 0) {
    throw errors.MIGRATION_INVALID(file.path, `what stands at place ${strange + 1} is no operation`)
  }
  return { ...file, operations, accept: accept ?? [] }
}

/**
 * The schema that migrations make, from nothing or from `before`.
 *
 * @throws {PlinthError} MIGRATION_INVALID for the first operation that does not fit
 */
export function schemaAfter(
  migrations: readonly LoadedMigration[],
  before: SchemaState = {},
): SchemaState {
  return migrations.reduce((schema, { path, operations }) => {
    try {
      return replayAll(operations, schema)
    } catch (cause) {
      throw errors.MIGRATION_INVALID.with({ cause }, path, (cause as Error).message)
    }
  }, before)
}

function checksum(text: string): string {
  return hash('sha256', text.replaceAll('\r\n', '\n'))
}
