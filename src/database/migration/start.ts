import { hash } from 'node:crypto'
import { type PluginFolder, sourceOf } from '../numbered.ts'
import type { SchemaState } from '../schema/state.ts'
import type { MigrationFile } from './file.ts'
import { readSnapshot, type Snapshot, startChecksum } from './snapshot.ts'

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
  const names = Object.values(tables).flatMap(({ indexes = [], unique = [] }) =>
    [...indexes, ...unique].map(({ name }) => name.toLowerCase()),
  )
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
