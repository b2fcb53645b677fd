import { join } from 'node:path'
import { errors } from '../../errors.ts'
import { type NumberedFile, sourceOf } from '../numbered.ts'
import type { SchemaState } from '../schema/state.ts'

// What is known of migrations before they are loaded: their files, what is recorded of them, and what is to be done.

/** A migration as it is recorded, whether its file is there or not. */
export interface Recordable {
  readonly name: string
  readonly checksum: string
}

/** A file of `migrations/` that has not been loaded. */
export interface MigrationFile extends NumberedFile {
  /** SHA-256 of its text, in hexadecimal; the ends of its lines do not count. */
  checksum: string
  /** Of a squash: what it stands for. */
  replaces?: readonly Recordable[] | undefined
  /** Of a squash: whether the files of all that are there. */
  isComplete?: boolean
  /** Where it is no file, but the first migrations in one step. */
  start?: Start
}

/** The first migrations, to be applied to an empty database in one step. */
export interface Start {
  readonly parts: readonly MigrationFile[]
  /** Where they lead to, as `schema.json` has it; `undefined`: to be found out, because it has what others behind them do, too. */
  readonly tables: SchemaState | undefined
}

/** A migration that is applied. */
export interface MigrationRecord {
  name: string
  checksum: string
  /** ISO 8601. */
  applied_at: string
  duration_ms: number
  /** Whether it is being taken back: what has happened of that the journal knows. */
  underWay: boolean
}

// ---- squashes

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
  for (const file of files.toReversed()) {
    if (!file.replaces) continue
    if (hidden.has(file.name) || isFor(file, applied, to))
      for (const one of file.replaces) hidden.add(one.name)
    else hidden.add(file.name)
  }
  return files.filter(({ name }) => !hidden.has(name))
}

function isFor(
  { name, replaces = [] }: MigrationFile,
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
function refusePart(files: readonly MigrationFile[], records: readonly Recordable[]): void {
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

// ---- records of files that have other names now

/**
 * The records as if applied migrations had always had the names that their files have now: after a merge of two branches
 * one of them has got another number. A file is known by its content, where only one has it. What a squash replaces is recorded as the
 * squash as soon as files of that are gone.
 */
export function followNames(files: readonly MigrationFile[], all: readonly MigrationRecord[]) {
  const { records, joined } = joinRecords(files, all)
  const renamed = renumbered(files, records)
  const named = records.map((record) => ({ ...record, name: renamed.get(record) ?? record.name }))
  return { records: named.sort(byName), joined, renamed }
}

/** Records of what a squash replaces, which become its own as soon as some of those files are gone. */
export interface Joined {
  readonly squash: MigrationFile
  readonly records: readonly MigrationRecord[]
}

/** The records as if each squash of which files are gone had been applied by itself where all that it replaces was. */
function joinRecords(
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
    const { name, checksum } = squash
    const duration_ms = found.reduce((sum, one) => sum + one.duration_ms, 0)
    all = all.filter((one) => !found.includes(one))
    all.push({ ...last, name, checksum, duration_ms })
  }
  return { records: all.sort(byName), joined }
}

function replacedRecords(
  { name, replaces = [] }: MigrationFile,
  records: readonly MigrationRecord[],
): MigrationRecord[] | undefined {
  if (records.some((record) => record.name === name)) return undefined
  // Its number may have been another once.
  const found = replaces.map((one) =>
    records.find((record) => isLike(record, one) && !record.underWay),
  )
  return found.every((one) => one !== undefined) ? found : undefined
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
    const [file, ...others] = pending.filter((one) => isLike(one, record))
    const isAlone = others.length === 0 && gone.filter((one) => isLike(one, record)).length === 1
    return file && isAlone ? [[record, file.name]] : []
  })
  return new Map(found)
}

const isLike = (one: Recordable, other: Recordable) =>
  one.checksum === other.checksum && sourceOf(one.name) === sourceOf(other.name)

const byName = (a: Recordable, b: Recordable) => (a.name < b.name ? -1 : 1)

// ---- what is to be done

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
  const { files, applied } = match(directory, all, records, { to, start })
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
  const { files, applied } = match(directory, all, records, { start })
  return { files, applied, todo: applied.slice(Math.max(0, applied.length - steps)).reverse() }
}

function match(
  directory: string,
  all: readonly MigrationFile[],
  records: readonly MigrationRecord[],
  { to, start }: Pick<ChooseUp, 'to' | 'start'>,
): Pick<Chosen, 'files' | 'applied'> {
  refusePart(all, records)
  const own = filesFor(all, records, to)
  const isEmpty = records.length === 0 && to === undefined
  const files = isEmpty && start?.start ? [start, ...own.slice(start.start.parts.length)] : own
  refuseMissing(directory, files, records)
  const named = new Map(records.map((record) => [record.name, record]))
  const applied = files.filter(({ name, checksum, path }) => {
    const record = named.get(name)
    // Of what is under way the journal knows which part of the file has to be as it was: the rest may be mended.
    if (record && record.checksum !== checksum && !record.underWay)
      throw errors.MIGRATION_CHANGED(path, name)
    return record !== undefined
  })
  return { files, applied }
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
