import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { errors } from '../../errors.ts'
import { importNumbered, listWithPlugins, type PluginFolder, sourceOf } from '../numbered.ts'
import type { SchemaState } from '../schema/state.ts'
import type { MigrationFile, Start } from './file.ts'
import { type Migration, type Operation, replayAll } from './operations/index.ts'
import { replacedBy, withReplaced } from './squashed.ts'

export interface LoadedMigration
  extends MigrationFile,
    Pick<Migration, 'operations' | 'accept' | 'unmanaged'> {}

/**
 * Lists the migrations of plugins, and behind them those of a folder, each by name; none of their code runs.
 *
 * @throws {PlinthError} MIGRATION_INVALID where a module has no number, two have the same, or a squash was made of another file
 */
export async function listMigrations(
  directory: string,
  plugins: readonly PluginFolder[] = [],
): Promise<MigrationFile[]> {
  const files = await listWithPlugins(plugins, directory, 4, errors.MIGRATION_INVALID)
  // Many small files: to wait for each takes longer than to read them.
  const read = files.map((file): MigrationFile => {
    const text = readFileSync(file.path, 'utf8')
    const replaces = replacedBy(file.name, text)
    return { ...file, checksum: checksumOf(text), ...(replaces && { replaces }) }
  })
  return withReplaced(read)
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
  if (file.start) return { ...file, operations: await startOperations(file.start), accept: [] }
  const { default: migration } = await importNumbered(file, errors.MIGRATION_INVALID)
  const { operations, accept, replaces, unmanaged } = (migration ?? {}) as Partial<Migration>
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
  refuseOtherReplaced(file, replaces)
  return { ...file, operations, accept: accept ?? [], ...(unmanaged && { unmanaged }) }
}

/** What a squash replaces has to be known without running it. */
function refuseOtherReplaced(
  { name, path, replaces = [] }: MigrationFile,
  said: Migration['replaces'] = {},
): void {
  const source = sourceOf(name)
  const read = Object.fromEntries(
    replaces.map((one) => [one.name.slice(source.length), one.checksum]),
  )
  if (isDeepStrictEqual(read, said)) return
  throw errors.MIGRATION_INVALID(
    path,
    "what it replaces cannot be read from its text: write it as manage migrate squash does, replaces: { '0001_name': 'its checksum' }, in a file 0004_squashed_name",
  )
}

async function startOperations({ parts, tables }: Start): Promise<readonly Operation[]> {
  const { diff } = await import('./autodetector.ts')
  return diff({}, tables ?? schemaAfter(await loadMigrations(parts)))
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

/** What stands for the text of a file; the ends of its lines do not count. */
export function checksumOf(text: string): string {
  return hash('sha256', text.replaceAll('\r\n', '\n'))
}
