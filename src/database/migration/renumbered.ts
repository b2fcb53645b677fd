import type { Kysely } from 'kysely'
import { sourceOf } from '../numbered.ts'
import type { MigrationFile } from './load.ts'
import { type MigrationRecord, type MigrationTables, recorded } from './record.ts'

/**
 * The records as if applied migrations had always had the names that their files have now: after a merge of two branches
 * one of them has got another number. A file is known by its content, where only one has it.
 */
export function followNames(
  files: readonly MigrationFile[],
  records: readonly MigrationRecord[],
): MigrationRecord[] {
  const renamed = renumbered(files, records)
  const all = records.map((record) => ({ ...record, name: renamed.get(record) ?? record.name }))
  return all.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Records the new names. @returns the old names by the new ones */
export async function recordNames(
  db: Kysely<MigrationTables>,
  files: readonly MigrationFile[],
): Promise<ReadonlyMap<string, string>> {
  const renamed = renumbered(files, await recorded(db))
  // Two processes may do so at once: the second finds no such row.
  for (const [{ name, checksum }, to] of renamed)
    await db
      .updateTable('plinth_migration')
      .set({ name: to })
      .where('name', '=', name)
      .where('checksum', '=', checksum)
      .execute()
  return new Map(Array.from(renamed, ([{ name }, to]) => [to, name]))
}

function renumbered(
  files: readonly MigrationFile[],
  records: readonly MigrationRecord[],
): ReadonlyMap<MigrationRecord, string> {
  const names = new Set(files.map(({ name }) => name))
  const known = new Set(records.map(({ name }) => name))
  // Of what is under way the journal has the name.
  const gone = records.filter(({ name, underWay }) => !names.has(name) && !underWay)
  const pending = gone.length > 0 ? files.filter(({ name }) => !known.has(name)) : []
  const found = gone.flatMap((record): [MigrationRecord, string][] => {
    const isLike = (other: { name: string; checksum: string }) =>
      other.checksum === record.checksum && sourceOf(other.name) === sourceOf(record.name)
    const same = pending.filter(isLike)
    const [file] = same
    return file && same.length === 1 && gone.filter(isLike).length === 1
      ? [[record, file.name]]
      : []
  })
  return new Map(found)
}
