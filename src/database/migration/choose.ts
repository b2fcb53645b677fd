import { join } from 'node:path'
import { errors } from '../../errors.ts'
import type { MigrationFile } from './load.ts'
import type { MigrationRecord } from './record.ts'

export interface ChooseUp {
  /** The last one that is wanted; default: all. */
  to?: string | undefined
  /** Also those that come before one that is applied already. */
  allowOutOfOrder?: boolean
}

/** Files and records that fit each other. */
export interface Chosen {
  /** In order of name. */
  applied: MigrationFile[]
  /** What is to be done, in order. */
  todo: MigrationFile[]
}

/**
 * The migrations that are to be applied.
 *
 * @throws {PlinthError} MIGRATION_CHANGED, MIGRATION_OUT_OF_ORDER, MIGRATION_UNKNOWN, DATABASE_NEWER, MIGRATION_INVALID
 */
export function chooseUp(
  directory: string,
  files: readonly MigrationFile[],
  records: readonly MigrationRecord[],
  { to, allowOutOfOrder = false }: ChooseUp,
): Chosen {
  const applied = matchRecords(directory, files, records)
  const pending = files.filter((file) => !applied.includes(file))
  const todo = upTo(files, to, pending)
  const last = applied.at(-1)
  const early = todo.find(({ name }) => last && name < last.name)
  if (early && last && !allowOutOfOrder) throw errors.MIGRATION_OUT_OF_ORDER(early.name, last.name)
  return { applied, todo }
}

/**
 * The migrations that are to be taken back, the newest first.
 *
 * @throws {PlinthError} as `chooseUp`
 */
export function chooseDown(
  directory: string,
  files: readonly MigrationFile[],
  records: readonly MigrationRecord[],
  steps: number,
): Chosen {
  const applied = matchRecords(directory, files, records)
  return { applied, todo: applied.slice(Math.max(0, applied.length - steps)).reverse() }
}

function matchRecords(
  directory: string,
  files: readonly MigrationFile[],
  records: readonly MigrationRecord[],
): MigrationFile[] {
  const named = new Map(files.map((file) => [file.name, file]))
  refuseMissing(directory, files, records)
  return records.map(({ name, checksum, underWay }) => {
    const file = named.get(name) as MigrationFile
    // Of what is under way the journal knows which part of the file has to be as it was: the rest may be mended.
    if (file.checksum !== checksum && !underWay) throw errors.MIGRATION_CHANGED(file.path, name)
    return file
  })
}

/** An applied migration without a file: of a later release, or its file is gone. */
function refuseMissing(
  directory: string,
  files: readonly MigrationFile[],
  records: readonly MigrationRecord[],
): void {
  const gone = records.filter(({ name }) => !files.some((file) => file.name === name))
  const newest = files.at(-1)?.name ?? ''
  const newer = gone.filter(({ name }) => name > newest)
  if (newer.length > 0) throw errors.DATABASE_NEWER(newer.map(({ name }) => name).join(', '))
  const [first] = gone
  if (first) {
    throw errors.MIGRATION_INVALID(
      join(directory, `${first.name}.ts`),
      'it is applied, but its file is gone; restore the file, or delete its row in plinth_migration',
    )
  }
}

function upTo(
  files: readonly MigrationFile[],
  to: string | undefined,
  pending: readonly MigrationFile[],
): MigrationFile[] {
  if (to === undefined) return [...pending]
  const last = files.find(({ name }) => name === to || name.startsWith(`${to}_`))
  if (!last) throw errors.MIGRATION_UNKNOWN(to, files.map(({ name }) => name).join(', ') || 'none')
  return pending.filter(({ name }) => name <= last.name)
}
