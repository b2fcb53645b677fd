import { errors } from '../../errors.ts'
import { sourceOf } from '../numbered.ts'
import type { MigrationFile, MigrationRecord, Recordable } from './file.ts'

const ENTRY = /(['"])(\d{4}_[a-z0-9_]+)\1\s*:\s*(['"])([0-9a-f]{64})\3/g

/**
 * What a squash replaces, from the text of its file: none of its code is run. `loadMigrations` checks that its code says the same.
 *
 * @returns `undefined` where it is none
 */
export function replacedBy(name: string, text: string): readonly Recordable[] | undefined {
  const source = sourceOf(name)
  if (!/^\d{4}_squashed_/.test(name.slice(source.length))) return undefined
  const all = Array.from(text.matchAll(ENTRY), ([, , one = '', , checksum = '']) => {
    return { name: source + one, checksum }
  })
  return all.length > 0 ? all : undefined
}

/**
 * Checks squashes against the files that they replace, as far as those are there, and notes whether all of them are.
 *
 * @throws {PlinthError} MIGRATION_INVALID where one is another than it was made of
 */
export function withReplaced(files: readonly MigrationFile[]): MigrationFile[] {
  const named = new Map(files.map((file) => [file.name, file]))
  return files.map((file) => {
    if (!file.replaces) return file
    const other = file.replaces.find(({ name, checksum }) => {
      const found = named.get(name)
      return found && found.checksum !== checksum
    })
    if (other)
      throw errors.MIGRATION_INVALID(
        file.path,
        `it was made of another ${other.name}: restore that, or squash again`,
      )
    return { ...file, isComplete: file.replaces.every(({ name }) => named.has(name)) }
  })
}

/**
 * The files that count for a database: a squash, or what it replaces. A database that has none of that takes the squash, one that has
 * some of it goes on with the files that it knows.
 *
 * @param to the last migration that is wanted: within a squash it is what that replaces
 */
export function filesFor(
  files: readonly MigrationFile[],
  records: readonly Recordable[],
  to?: string,
): MigrationFile[] {
  const applied = new Set(records.map(({ name }) => name))
  const hidden = new Set<string>()
  // The last is the widest: it may replace another.
  for (const { name, replaces } of files.toReversed()) {
    if (!replaces) continue
    if (hidden.has(name) || isFor(name, replaces, applied, to))
      for (const one of replaces) hidden.add(one.name)
    else hidden.add(name)
  }
  return files.filter(({ name }) => !hidden.has(name))
}

function isFor(
  name: string,
  replaces: readonly Recordable[],
  applied: ReadonlySet<string>,
  to: string | undefined,
): boolean {
  if (applied.has(name)) return true
  const isWithin = replaces.slice(0, -1).some((one) => to !== undefined && isNamed(one.name, to))
  return !isWithin && !replaces.some((one) => applied.has(one.name))
}

/** Whether a migration is called so, by name or number. */
export function isNamed(name: string, wanted: string): boolean {
  return name === wanted || name.startsWith(`${wanted}_`)
}

/**
 * Refuses a database that has only some of what a squash replaces, where the files of the rest are gone.
 *
 * @throws {PlinthError} MIGRATION_INVALID
 */
export function refusePart(files: readonly MigrationFile[], records: readonly Recordable[]): void {
  const applied = new Set(records.map(({ name }) => name))
  const there = new Set(files.map(({ name }) => name))
  for (const { name, path, replaces = [] } of files) {
    const rest = replaces.filter((one) => !applied.has(one.name))
    const gone = rest.filter((one) => !there.has(one.name)).map((one) => one.name)
    if (applied.has(name) || rest.length === replaces.length || gone.length === 0) continue
    throw errors.MIGRATION_INVALID(
      path,
      `the database has some of what it replaces, but not ${gone.join(', ')}, whose files are gone: restore them, or first migrate with a release that has them`,
    )
  }
}

/** Records of what a squash replaces, which become its own as soon as some of those files are gone. */
export interface Joined {
  readonly squash: MigrationFile
  readonly records: readonly MigrationRecord[]
}

/** The records as if each squash of which files are gone had been applied by itself where all that it replaces was. */
export function joinRecords(
  files: readonly MigrationFile[],
  records: readonly MigrationRecord[],
): { records: MigrationRecord[]; joined: Joined[] } {
  const joined: Joined[] = []
  let all = [...records]
  for (const squash of files) {
    const found = squash.isComplete === false ? replacedRecords(squash, all) : undefined
    const last = found?.at(-1)
    if (!found || !last) continue
    joined.push({ squash, records: found })
    all = all.filter((one) => !found.includes(one))
    all.push(joinedRecord(squash, found, last))
  }
  return { records: all.sort((a, b) => (a.name < b.name ? -1 : 1)), joined }
}

function replacedRecords(
  { name, replaces = [] }: MigrationFile,
  records: readonly MigrationRecord[],
): MigrationRecord[] | undefined {
  if (records.some((record) => record.name === name)) return undefined
  const found = replaces.map((one) =>
    // Its number may have been another once.
    records.find(({ checksum, ...record }) => {
      const isOfSame = sourceOf(record.name) === sourceOf(one.name)
      return checksum === one.checksum && isOfSame && !record.underWay
    }),
  )
  return found.every((one) => one !== undefined) ? found : undefined
}

function joinedRecord(
  { name, checksum }: MigrationFile,
  found: readonly MigrationRecord[],
  { applied_at, underWay }: MigrationRecord,
): MigrationRecord {
  const duration_ms = found.reduce((sum, one) => sum + one.duration_ms, 0)
  return { name, checksum, applied_at, duration_ms, underWay }
}

/**
 * What is recorded when a file has been applied. Of a squash that is what it replaces, as long as those files are there: so a release
 * that does not know the squash knows the database.
 */
export function recordsOf(
  file: Recordable & Pick<MigrationFile, 'replaces' | 'isComplete' | 'start'>,
): readonly Recordable[] {
  if (file.start) return file.start.parts.flatMap(recordsOf)
  return file.replaces && file.isComplete ? file.replaces : [file]
}
