import { join } from 'node:path'
import { errors } from '../../errors.ts'
import { sourceOf } from '../numbered.ts'
import type { MigrationFile, MigrationRecord } from './file.ts'
import { filesFor, isNamed, refusePart } from './squashed.ts'

export interface ChooseUp {
  /** The last one that is wanted; default: all. */
  to?: string | undefined
  /** Also those that come before one that is applied already. */
  allowOutOfOrder?: boolean
  /** What an empty database may begin with instead of its first migrations. */
  start?: MigrationFile | undefined
}

/** Files and records that fit each other. */
export interface Chosen {
  /** All that count for this database. */
  files: MigrationFile[]
  /** In the order of the files. */
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
  all: readonly MigrationFile[],
  records: readonly MigrationRecord[],
  { to, allowOutOfOrder = false, start }: ChooseUp,
): Chosen {
  const files = filesOf(all, records, { to, start })
  const applied = matchRecords(directory, files, records)
  const pending = files.filter((file) => !applied.includes(file))
  const todo = upTo(files, to, pending)
  const early = allowOutOfOrder ? undefined : todo.find(({ name }) => behind(name) !== undefined)
  if (early) throw errors.MIGRATION_OUT_OF_ORDER(early.name, behind(early.name) as string)
  return { files, applied, todo }

  /** The newest that is applied of the same owner, where that comes later. */
  function behind(name: string): string | undefined {
    const last = applied.findLast((file) => sourceOf(file.name) === sourceOf(name))
    return last && name < last.name ? last.name : undefined
  }
}

/**
 * The migrations that are to be taken back, the newest first.
 *
 * @throws {PlinthError} as `chooseUp`
 */
export function chooseDown(
  directory: string,
  all: readonly MigrationFile[],
  records: readonly MigrationRecord[],
  steps: number,
  start?: MigrationFile,
): Chosen {
  const files = filesOf(all, records, { start })
  const applied = matchRecords(directory, files, records)
  return { files, applied, todo: applied.slice(Math.max(0, applied.length - steps)).reverse() }
}

function filesOf(
  all: readonly MigrationFile[],
  records: readonly MigrationRecord[],
  { to, start }: Pick<ChooseUp, 'to' | 'start'>,
): MigrationFile[] {
  refusePart(all, records)
  const files = filesFor(all, records, to)
  const isEmpty = records.length === 0 && to === undefined
  return isEmpty && start?.start ? [start, ...files.slice(start.start.parts.length)] : files
}

function matchRecords(
  directory: string,
  files: readonly MigrationFile[],
  records: readonly MigrationRecord[],
): MigrationFile[] {
  const named = new Map(records.map((record) => [record.name, record]))
  refuseMissing(directory, files, records)
  return files.filter(({ name, checksum, path }) => {
    const record = named.get(name)
    // Of what is under way the journal knows which part of the file has to be as it was: the rest may be mended.
    if (record && record.checksum !== checksum && !record.underWay)
      throw errors.MIGRATION_CHANGED(path, name)
    return record !== undefined
  })
}

/**
 * An applied migration without a file: of a later release, or its file is gone. Those of a plugin that the service has no
 * more are left alone, as its tables are.
 */
function refuseMissing(
  directory: string,
  files: readonly MigrationFile[],
  records: readonly MigrationRecord[],
): void {
  const names = new Set(files.map(({ name }) => name))
  const sources = new Set(['', ...files.map(({ name }) => sourceOf(name))])
  const gone = records.filter(({ name }) => !names.has(name) && sources.has(sourceOf(name)))
  const newer = gone.filter(({ name }) => name > newestOf(sourceOf(name)))
  if (newer.length > 0) throw errors.DATABASE_NEWER(newer.map(({ name }) => name).join(', '))
  const [first] = gone
  if (first) {
    throw errors.MIGRATION_INVALID(
      join(directory, `${first.name}.ts`),
      'it is applied, but its file is gone; restore the file, or delete its row in plinth_migration',
    )
  }

  function newestOf(source: string): string {
    return files.findLast(({ name }) => sourceOf(name) === source)?.name ?? ''
  }
}

function upTo(
  files: readonly MigrationFile[],
  to: string | undefined,
  pending: readonly MigrationFile[],
): MigrationFile[] {
  if (to === undefined) return [...pending]
  const last = files.find((one) => isNamed(one.name, to) || one.replaces?.at(-1)?.name === to)
  if (!last) throw errors.MIGRATION_UNKNOWN(to, files.map(({ name }) => name).join(', ') || 'none')
  const end = files.indexOf(last)
  return pending.filter((file) => files.indexOf(file) <= end)
}
