import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errors } from '../../errors.ts'
import type { Model } from '../model/types.ts'
import { Call, print } from '../print.ts'
import { type ColumnState, only, type SchemaState } from '../schema/state.ts'
import { describeType, NOW } from '../schema/types.ts'
import { diff } from './autodetector.ts'
import { type MigrationSettings, runSql } from './index.ts'
import { checksumOf, type Recorded, snapshotPath, snapshotText } from './loader.ts'
import { definitionOf, replayAll } from './operations/index.ts'
import type { Fill, Operation, SchemaOperation } from './operations/operation.ts'
import type { Renames } from './renames.ts'

/** A migration that can be written. Of one that is to be written by hand there are no operations. */
export interface Draft {
  /** `0004_add_city_kind` */
  readonly name: string
  readonly text: string
  readonly operations: readonly SchemaOperation[]
  /** The schema after it. */
  readonly schema: SchemaState
}

interface DraftOptions {
  /** What it is called behind its number; default: by what it does. */
  name?: string | undefined
  /** What rows get that are there. */
  fills?: Fills | undefined
  /** What is in the database beside, and is to stay as it is. */
  unmanaged?: Readonly<Record<string, string>>
}

/**
 * The migration that leads to the schema of the models.
 *
 * @returns `undefined` where there is nothing to do
 * @throws {PlinthError} MIGRATION_UNSUPPORTED
 */
export function draftMigration(
  recorded: Recorded,
  wanted: SchemaState,
  renames: Renames,
  { name, fills = {}, unmanaged }: DraftOptions = {},
): Draft | undefined {
  const { migrations, schema, before } = recorded
  refuseUnmanaged(recorded, wanted)
  // The tables of plugins are theirs to change.
  const theirs = only(schema, (table) => table in before)
  const changes = diff(schema, { ...wanted, ...theirs }, renames)
  const operations = withFills(changes, fills)
  if (operations.length === 0) return undefined
  return {
    name: `${nextNumber(migrations.map((one) => one.name))}_${name ?? nameFor(operations)}`,
    text: render(operations, { unmanaged }),
    operations,
    // Not what is wanted: names that nobody gave stay as they are.
    schema: replayAll(operations, schema),
  }
}

/** A model of it would be made where it is already, or drop what nobody has made by a migration. */
function refuseUnmanaged({ unmanaged, schema }: Recorded, wanted: SchemaState): void {
  const name = Object.keys(wanted).find(
    (table) => unmanaged[table] && unmanaged[table] !== 'partitions' && !(table in schema),
  )
  if (name === undefined) return
  throw errors.MIGRATION_UNSUPPORTED(`${name}, which is recorded as unmanaged (${unmanaged[name]})`)
}

/** A migration to be written by hand. */
export function emptyMigration({ migrations, schema }: Recorded, name = 'by_hand'): Draft {
  const number = nextNumber(migrations.map((one) => one.name))
  return { name: `${number}_${name}`, text: EMPTY_MIGRATION, operations: [], schema }
}

/**
 * Tables that no model describes may be another's, or one whose model was taken out by mistake.
 *
 * @throws {PlinthError} MIGRATION_DROPS
 */
export function refuseDrops({ operations }: Draft): void {
  const tables = operations.flatMap((one) => (one.type === 'dropTable' ? [one.table] : []))
  if (tables.length > 0) throw errors.MIGRATION_DROPS(tables.join(', '))
}

/** JavaScript where the others are, as in a package: Node.js strips no types in `node_modules`. */
export function fileOf({ migrations }: Recorded, { name }: Pick<Draft, 'name'>): string {
  return `${name}.${migrations.at(-1)?.path.endsWith('.js') ? 'js' : 'ts'}`
}

/** Writes a migration and the snapshot; when it fails, neither is half-written. */
export async function writeMigration(recorded: Recorded, draft: Draft): Promise<void> {
  const { name, text, operations, schema } = draft
  const { directory, migrations } = recorded
  const path = join(directory, fileOf(recorded, draft))
  // What is written into an empty one by hand nobody knows yet.
  const all = operations.length === 0 ? [runSql({ up: [] })] : operations
  const written = { name, path, checksum: checksumOf(text), operations: all, accept: [] }
  const snapshot = snapshotText({ ...recorded, migrations: [...migrations, written], schema })
  await writeWhole([
    [path, text],
    [snapshotPath(directory), snapshot],
  ])
}

/** Writes the snapshot anew. */
export async function writeSnapshot(recorded: Recorded): Promise<void> {
  await writeWhole([[snapshotPath(recorded.directory), snapshotText(recorded)]])
}

type File = readonly [path: string, text: string]

/** Each file is there as a whole or not at all; none is before all could be written. */
export async function writeWhole(files: readonly File[]): Promise<void> {
  const drafts = files.map(([path, text]) => ({ path, text, draft: `${path}.${process.pid}.tmp` }))
  try {
    for (const { draft, text } of drafts) {
      await mkdir(dirname(draft), { recursive: true })
      await writeFile(draft, text)
    }
    for (const { draft, path } of drafts) await rename(draft, path)
  } catch (error) {
    await Promise.allSettled(drafts.map(({ draft }) => rm(draft, { force: true })))
    throw error
  }
}

/** A migration's file, as a person would have written it. */
export function render(
  operations: readonly SchemaOperation[],
  settings: { unmanaged?: MigrationSettings['unmanaged'] | undefined } = {},
): string {
  const makers = new Set(['defineMigration', ...operations.map(({ type }) => type)])
  return `${importOf([...makers].sort())}\n\n${definition(operations.map(toCall), settings)}`
}

/** The definition of a migration, with what it says of itself. */
export function definition(calls: readonly Call[], settings: object): string {
  const said = Object.entries(settings).filter(([, one]) => one && Object.keys(one).length > 0)
  const name = 'export default defineMigration'
  if (said.length === 0) return `${print(new Call(name, [calls]), 'typescript')}\n`
  const parts = [calls, Object.fromEntries(said)].map((one) => {
    return `  ${print(one, 'typescript', 2)},\n`
  })
  return `${name}(\n${parts.join('')})\n`
}

/** A migration's file for steps that are written by hand. */
export const EMPTY_MIGRATION = `import { defineMigration } from 'plinth/migration'

export default defineMigration([
  // Steps in SQL or in code are runSql and runData of 'plinth/migration'. One without down cannot be
  // taken back. Then run manage makemigrations --rebuild.
  //
  // runSql({
  //   up: "update city set kind = 'town' where kind is null",
  //   down: [],
  // }),
  // runData({
  //   up: (db) => db.updateTable('city').set({ kind: 'town' }).where('kind', 'is', null).execute(),
  // }),
])
`

/** The import of what makes operations, by name. */
export function importOf(names: readonly string[]): string {
  return `import { ${names.join(', ')} } from 'plinth/migration'`
}

/** An operation as a migration's file says it. */
export function toCall(operation: Operation): Call {
  return new Call(operation.type, definitionOf(operation).render?.(operation, toCall) ?? [])
}

const MAX = 60

/** What a migration is called by what it does: `add_city_kind`, `change_city_and_country`. */
export function nameFor(operations: readonly SchemaOperation[]): string {
  const [first, ...rest] = withoutCompany(operations)
  const words =
    first && rest.length === 0 ? definitionOf(first).fileName?.(first) : nameMany(operations)
  return (words ?? '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .slice(0, MAX)
}

/** The number behind the last one that there is: `0004`. */
export function nextNumber(names: readonly string[]): string {
  const last = Math.max(0, ...names.map((name) => Number.parseInt(name, 10)))
  return String(last + 1).padStart(4, '0')
}

/** Without the keys and indexes that only come and go with a column, or that stand in its way. */
function withoutCompany(operations: readonly SchemaOperation[]): SchemaOperation[] {
  const places = new Set(
    operations.flatMap((one) => ('column' in one ? [`${one.table}.${one.column}`] : [])),
  )
  const isCompany = (table: string, columns: readonly string[]) =>
    columns.some((column) => places.has(`${table}.${column}`))
  return operations.filter((one) => {
    if ('index' in one) return !isCompany(one.table, one.index.columns)
    if (!('foreignKey' in one)) return true
    const { columns, table, references } = one.foreignKey
    return !isCompany(one.table, columns) && !isCompany(table, references)
  })
}

function nameMany(operations: readonly SchemaOperation[]): string {
  const [first, second, ...rest] = new Set(
    operations.map((one) => {
      const { before, after = before } = definitionOf(one).tables(one)
      return after
    }),
  )
  const verb = operations.every(({ type }) => type === 'createTable' || type === 'addForeignKey')
    ? 'create'
    : 'change'
  if (!second) return `${verb}_${first}`
  if (rest.length === 0) return `${verb}_${first}_and_${second}`
  return `${verb}_${first}_and_${rest.length + 1}_more`
}

// ---- what rows get that are there

/** What rows that are there get, by `table.column`. */
export type Fills = Readonly<Record<string, Fill>>

/** A column that needs a value in each row, and that rows may have none for. */
export interface Unfilled {
  /** `city.kind` */
  readonly place: string
  readonly column: ColumnState
}

/** The columns of `operations` for which the rows of a table need values that nobody has said. */
export function findUnfilled(operations: readonly SchemaOperation[]): Unfilled[] {
  return operations.flatMap((one) => unfilledBy(one) ?? [])
}

function unfilledBy(operation: SchemaOperation): Unfilled | undefined {
  const definition = definitionOf(operation)
  const found = definition.unfilled?.(operation)
  const table = definition.tables(operation).after
  return found && { place: `${table}.${found.column}`, column: found.definition }
}

/** The same operations with what is to be filled in. */
export function withFills(operations: readonly SchemaOperation[], fills: Fills): SchemaOperation[] {
  return operations.map((one) => {
    const unfilled = unfilledBy(one)
    const fill = unfilled && fills[unfilled.place]
    return fill === undefined ? one : ({ ...one, fill } as SchemaOperation)
  })
}

/** When the rows that are there were made or changed nobody knows: as far as that is known, now. */
export function auditFills(models: readonly Model[]): Fills {
  const times = models.flatMap(({ table, audit }) =>
    audit.filter((name) => name.endsWith('_at')).map((name) => [`${table}.${name}`, NOW] as const),
  )
  return Object.fromEntries(times)
}

/**
 * What somebody has said to fill in for a column: a number, `true` or `false`, a text, or `now` for a time.
 *
 * @returns what is wrong with it, where something is
 */
export function readFill(text: string, { type, values }: ColumnState): { fill: Fill } | string {
  if (values && !values.includes(text)) return `it is none of ${values.join(', ')}`
  if (type === 'boolean')
    return /^(true|false)$/.test(text) ? { fill: text === 'true' } : 'it is neither true nor false'
  if (type === 'datetime' && text === 'now') return { fill: NOW }
  const known = describeType(type)
  if (known?.literal !== 'number') return { fill: text }
  const number = Number(text)
  const fits =
    text.trim() !== '' && (type === 'double' ? Number.isFinite : Number.isSafeInteger)(number)
  return fits ? { fill: number } : `it is no ${type === 'double' ? 'number' : 'whole number'}`
}
