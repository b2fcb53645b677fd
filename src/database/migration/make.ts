import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errors } from '../../errors.ts'
import type { SchemaState } from '../schema/state.ts'
import { diff, type SchemaOperation } from './diff.ts'
import { nameFor, nextNumber } from './file-name.ts'
import { type Fills, withFills } from './fills.ts'
import type { Renames } from './rename.ts'
import { EMPTY_MIGRATION, render } from './render.ts'
import { replayAll } from './replay.ts'
import { formatSnapshot, ownTables, type Recorded, snapshotOf, snapshotPath } from './snapshot.ts'

/** A migration that can be written. */
export interface Draft {
  /** `0004_add_city_kind` */
  readonly name: string
  readonly text: string
  readonly operations: readonly SchemaOperation[]
  /** The schema after it. */
  readonly schema: SchemaState
}

/**
 * The migration that leads to the schema of the models.
 *
 * @param name what it is called behind its number; default: by what it does
 * @param fills what rows get that are there
 * @returns `undefined` where there is nothing to do
 * @throws {PlinthError} MIGRATION_UNSUPPORTED
 */
export function draftMigration(
  recorded: Recorded,
  wanted: SchemaState,
  renames: Renames,
  { name, fills = {} }: { name?: string | undefined; fills?: Fills | undefined } = {},
): Draft | undefined {
  const { migrations, schema, before } = recorded
  // The tables of plugins are theirs to change.
  const theirs = Object.entries(schema).filter(([table]) => table in before)
  const changes = diff(schema, { ...wanted, ...Object.fromEntries(theirs) }, renames)
  const operations = withFills(changes, fills)
  if (operations.length === 0) return undefined
  return {
    name: `${nextNumber(migrations.map((one) => one.name))}_${name ?? nameFor(operations)}`,
    text: render(operations),
    operations,
    // Not what is wanted: names that nobody gave stay as they are.
    schema: replayAll(operations, schema),
  }
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
export function fileOf({ migrations }: Recorded, { name }: Draft): string {
  return `${name}.${migrations.at(-1)?.path.endsWith('.js') ? 'js' : 'ts'}`
}

/** Writes a migration and the snapshot; when it fails, neither is half-written. */
export async function writeMigration(recorded: Recorded, draft: Draft): Promise<void> {
  const { directory } = recorded
  const tables = ownTables(recorded, draft.schema)
  await writeWhole([
    [join(directory, fileOf(recorded, draft)), draft.text],
    [snapshotPath(directory), formatSnapshot({ migration: draft.name, tables })],
  ])
}

/** Writes the snapshot anew. */
export async function writeSnapshot(recorded: Recorded): Promise<void> {
  const text = formatSnapshot(snapshotOf(recorded))
  await writeWhole([[snapshotPath(recorded.directory), text]])
}

type File = readonly [path: string, text: string]

/** Each file is there as a whole or not at all; none is before all could be written. */
async function writeWhole(files: readonly File[]): Promise<void> {
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
