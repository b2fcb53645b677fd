import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { errors } from '../../errors.ts'
import { importNumbered, listWithPlugins, type PluginFolder, sourceOf } from '../numbered.ts'
import { print } from '../print.ts'
import { indexesOf, normalSchema, only, type SchemaState } from '../schema/state.ts'
import {
  filesFor,
  type MigrationFile,
  type Recordable,
  replacedBy,
  type Start,
  withReplaced,
} from './files.ts'
import type { Migration } from './index.ts'
import { replayAll } from './operations/index.ts'
import type { Operation } from './operations/operation.ts'

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

// ---- where they lead to, as `schema.json` beside them records it

/** What `migrations/schema.json` says: the schema after a migration. */
export interface Snapshot {
  /** The newest migration, as `0003_add_city_kind`; `null` before the first. */
  readonly migration: string | null
  /**
   * The last of the first migrations that are made of operations alone, if they are two or more: an empty database gets there in one step
   * as long as the files are those that the checksum was made of.
   */
  readonly start?: { readonly to: string; readonly checksum: string } | undefined
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
  /** What is in databases beside, and what it is: no migration makes or changes it but by hand. */
  readonly unmanaged: Readonly<Record<string, string>>
}

/** The tables of `schema` that are no plugin's. */
function ownTables({ before }: Recorded, schema: SchemaState): SchemaState {
  return only(schema, (table) => !(table in before))
}

export function snapshotPath(directory: string): string {
  return join(directory, 'schema.json')
}

/** The text of `schema.json`: the same for the same schema, and made to be read in a review. */
export function formatSnapshot({ migration, start, tables }: Snapshot): string {
  const normal = normalSchema(tables)
  return `${print({ migration, ...(start && { start }), tables: normal }, 'json')}\n`
}

/** What stands for migrations and for where they, and perhaps others behind them, lead to. */
export function startChecksum(files: readonly Recordable[], tables: SchemaState): string {
  const lines = files.map(
    ({ name, checksum }) => `${name.slice(sourceOf(name).length)} ${checksum}\n`,
  )
  return hash('sha256', lines.join('') + JSON.stringify(normalSchema(tables)))
}

/** The text of the `schema.json` that belongs to migrations. */
export function snapshotText(recorded: Recorded): string {
  return formatSnapshot(snapshotOf(recorded))
}

function snapshotOf(recorded: Recorded): Snapshot {
  const { migrations, schema } = recorded
  const tables = ownTables(recorded, schema)
  return { migration: migrations.at(-1)?.name ?? null, start: startOf(recorded, tables), tables }
}

/** `undefined` where one step would not lead to the very same. */
function startOf(recorded: Recorded, tables: SchemaState): Snapshot['start'] {
  const { migrations, before } = recorded
  const end = migrations.findIndex(({ operations }) =>
    operations.some(({ type }) => type === 'runSql' || type === 'runData'),
  )
  const first = end < 0 ? migrations : migrations.slice(0, end)
  const last = first.at(-1)
  if (!last || first.length < 2) return undefined
  const schema = schemaAfter(first, before)
  // What is done to tables of plugins is in no schema.json, and neither are names that SQLite alone has.
  const changed = Object.keys(before).some((name) => !isDeepStrictEqual(schema[name], before[name]))
  const renamed = Object.values(schema)
    .flatMap(indexesOf)
    .some(({ sqlite }) => sqlite)
  if (changed || renamed) return undefined
  return { to: last.name, checksum: startChecksum(first, tables) }
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
  const listed = await listMigrations(directory, plugins)
  const all = await loadMigrations(filesFor(listed, []))
  await assertSquashes(listed, all)
  const migrations = all.filter(({ name }) => sourceOf(name) === '')
  const before = schemaAfter(all.filter((one) => !migrations.includes(one)))
  const unmanaged = Object.assign({}, ...all.map((migration) => migration.unmanaged))
  return { directory, migrations, schema: schemaAfter(migrations, before), before, unmanaged }
}

/**
 * Checks that squashes lead to where those lead to that they replace, as far as these are there.
 *
 * @throws {PlinthError} MIGRATION_INVALID
 */
async function assertSquashes(
  listed: readonly MigrationFile[],
  all: readonly LoadedMigration[],
): Promise<void> {
  for (const [i, squash] of all.entries()) {
    if (!squash.replaces || !squash.isComplete) continue
    const names = new Set(squash.replaces.map(({ name }) => name))
    const replaced = await loadMigrations(listed.filter(({ name }) => names.has(name)))
    const before = schemaAfter(all.slice(0, i))
    const other = otherTable(schemaAfter([squash], before), schemaAfter(replaced, before))
    if (other)
      throw errors.MIGRATION_INVALID(
        squash.path,
        `the table ${other} becomes another one than by the migrations that it replaces`,
      )
  }
}

/**
 * Checks that `schema.json` is what the migrations beside it lead to.
 *
 * @throws {PlinthError} SCHEMA_STALE
 */
export async function assertSnapshot(recorded: Recorded): Promise<void> {
  const wanted = snapshotOf(recorded)
  const path = snapshotPath(recorded.directory)
  const found = await readSnapshot(recorded.directory)
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
 * Reads `schema.json` of a folder.
 *
 * @returns `undefined` where there is none
 * @throws {PlinthError} SCHEMA_STALE where it cannot be read
 */
export async function readSnapshot(directory: string): Promise<Snapshot | undefined> {
  const path = snapshotPath(directory)
  try {
    const { migration, start, tables }: Snapshot = JSON.parse(await readFile(path, 'utf8'))
    return { migration, start, tables: normalSchema(tables) }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw errors.SCHEMA_STALE.with(
      { cause },
      path,
      `it cannot be read (${(cause as Error).message})`,
    )
  }
}

// ---- where an empty database starts

/**
 * How an empty database gets to where the first migrations lead to, in one step: those for which the `schema.json` beside them says that they
 * are made of operations alone, and which are the files that it was written for.
 *
 * @param files those that count for an empty database
 * @returns `undefined` where that is less than two
 */
export async function readStart(
  directory: string,
  plugins: readonly PluginFolder[],
  files: readonly MigrationFile[],
): Promise<MigrationFile | undefined> {
  const parts: MigrationFile[] = []
  let tables: SchemaState | undefined = {}
  const folders = [
    ...plugins.map((one) => ({ ...one, source: `${one.name}/` })),
    { directory, source: '' },
  ]
  for (const folder of folders) {
    const own = files.filter(({ name }) => sourceOf(name) === folder.source)
    if (own.length === 0) continue
    const snapshot = await readSnapshot(folder.directory).catch(() => undefined)
    const covered = snapshot ? coveredBy(snapshot, own, folder.source) : []
    parts.push(...covered)
    if (covered.length === own.length) {
      tables = tables && snapshot && { ...tables, ...snapshot.tables }
      continue
    }
    if (covered.length > 0) tables = undefined
    break
  }
  return parts.length > 1 && isOfOwnNames(tables) ? startFile(directory, parts, tables) : undefined
}

function coveredBy(
  { start, tables }: Snapshot,
  own: readonly MigrationFile[],
  source: string,
): readonly MigrationFile[] {
  const end = own.findIndex(({ name }) => name === source + start?.to)
  const covered = own.slice(0, end + 1)
  return start?.checksum === startChecksum(covered, tables) ? covered : []
}

/** On SQLite an index gets another name where that of another table has it: then it counts which was there first. */
function isOfOwnNames(tables: SchemaState = {}): boolean {
  const names = Object.values(tables)
    .flatMap(indexesOf)
    .map(({ name }) => name.toLowerCase())
  return new Set(names).size === names.length
}

function startFile(
  path: string,
  parts: readonly MigrationFile[],
  tables: SchemaState | undefined,
): MigrationFile {
  const checksum = hash('sha256', parts.map((part) => part.checksum).join())
  return { name: `start:${parts.at(-1)?.name}`, path, checksum, start: { parts, tables } }
}

function otherTable(found: SchemaState, wanted: SchemaState): string | undefined {
  const [was, is] = [normalSchema(found), normalSchema(wanted)]
  return Object.keys({ ...was, ...is }).find((name) => !isDeepStrictEqual(was[name], is[name]))
}
