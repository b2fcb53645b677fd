import { basename, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { errors } from '../../errors.ts'
import { Call, Name } from '../print.ts'
import { indexesOf, normalSchema, only, type SchemaState } from '../schema/state.ts'
import { diff } from './autodetector.ts'
import { isNamed, type Recordable } from './files.ts'
import {
  checksumOf,
  type LoadedMigration,
  type Recorded,
  schemaAfter,
  snapshotPath,
  snapshotText,
} from './loader.ts'
import { compileAll, replayAll, reverseAll } from './operations/index.ts'
import type { Operation, SchemaOperation } from './operations/operation.ts'
import { definition, fileOf, importOf, toCall, writeWhole } from './writer.ts'

/** An operation of a squash. */
interface SquashStep {
  readonly operation: Operation
  /** Where a step in code is to be taken from: which one of another file. */
  readonly from?: { readonly name: string; readonly file: string; readonly step: number }
}

/** A step in code, which stays in the file of its migration. */
export interface CodeStep {
  /** `0003_fill_kinds` */
  readonly migration: string
  /** Its place there, from 1. */
  readonly step: number
}

/** One migration for several, that can be written. */
export interface SquashDraft {
  /** `0004_squashed_from_0001` */
  readonly name: string
  readonly path: string
  readonly text: string
  readonly replaces: readonly Recordable[]
  /** How many operations there were, and how many there are. */
  readonly before: number
  readonly after: number
  /** The files of these have to stay. */
  readonly code: readonly CodeStep[]
  /** The `schema.json` with it. */
  readonly snapshot: string
}

/**
 * One migration that does what those from `from` to `to` do. Tables that they create are created as they are in the end, as long as no step
 * by hand may have written rows to them; everything else happens as it did. Steps in code are taken from where they are.
 *
 * @param from by name or number
 * @param to by name or number
 * @param format how its text is to be written; default: plainly
 * @throws {PlinthError} MIGRATION_UNKNOWN; MIGRATION_INVALID where they cannot be one
 */
export function draftSquash(
  recorded: Recorded,
  from: string,
  to: string,
  format: (path: string, text: string) => string = (_, text) => text,
): SquashDraft {
  const { migrations, directory } = recorded
  const [first, last] = [placeOf(migrations, from), placeOf(migrations, to)]
  const all = migrations.slice(first, last + 1)
  refuseRange(all)
  const before = schemaAfter(migrations.slice(0, first), recorded.before)
  const steps = stepsOf(all, before)
  refuseMisfit(all, steps, before)
  const [one, end] = [all[0] as LoadedMigration, all.at(-1) as LoadedMigration]
  const name = `${numberOf(end)}_squashed_from_${numberOf(one)}`
  const replaces = all.map(({ name, checksum }) => ({ name, checksum }))
  const accept = [...new Set(all.flatMap((migration) => migration.accept))]
  const unmanaged = Object.assign({}, ...all.map((migration) => migration.unmanaged))
  const path = join(directory, fileOf(recorded, { name }))
  const text = format(path, renderSquash(steps, { accept, replaces, unmanaged }))
  const operations = steps.map(({ operation }) => operation)
  const squash = { name, path, checksum: checksumOf(text), operations, accept }
  return {
    ...{ name, path, text, replaces },
    before: all.reduce((sum, one) => sum + one.operations.length, 0),
    after: steps.length,
    code: steps.flatMap(({ from }) => (from ? [{ migration: from.name, step: from.step }] : [])),
    snapshot: snapshotText({
      ...recorded,
      migrations: migrations.toSpliced(first, all.length, squash),
    }),
  }
}

/** Writes a squash and the snapshot; when it fails, neither is half-written. */
export async function writeSquash(
  { directory }: Recorded,
  { path, text, snapshot }: SquashDraft,
): Promise<void> {
  await writeWhole([
    [path, text],
    [snapshotPath(directory), snapshot],
  ])
}

const numberOf = ({ name }: LoadedMigration) => name.slice(0, 4)

function placeOf(migrations: readonly LoadedMigration[], wanted: string): number {
  const place = migrations.findIndex(({ name }) => isNamed(name, wanted))
  if (place >= 0) return place
  throw errors.MIGRATION_UNKNOWN(wanted, migrations.map(({ name }) => name).join(', ') || 'none')
}

function refuseRange(all: readonly LoadedMigration[]): void {
  const [first] = all
  if (!first || all.length < 2)
    throw errors.MIGRATION_INVALID(
      first?.path ?? 'to be squashed',
      'to squash takes two migrations or more, the first of them first',
    )
  // Whoever has some of what it replaces goes on by those files.
  const squash = all.find(({ isComplete }) => isComplete)
  if (squash)
    throw errors.MIGRATION_INVALID(
      squash.path,
      'what it replaces is still there: delete those files first, when no database needs them any more',
    )
}

function stepsOf(all: readonly LoadedMigration[], before: SchemaState): SquashStep[] {
  const steps: SquashStep[] = []
  let [schema, together] = [before, [] as SchemaOperation[]]
  const flush = () => {
    steps.push(...fold(together, schema).map((operation) => ({ operation })))
    schema = replayAll(together, schema)
    together = []
  }
  for (const { name, path, operations } of all) {
    for (const [i, operation] of operations.entries()) {
      if (operation.type !== 'runSql' && operation.type !== 'runData') {
        together.push(operation)
        continue
      }
      flush()
      const from = { name, file: basename(path), step: i + 1 }
      steps.push(operation.type === 'runData' ? { operation, from } : { operation })
      schema = replayAll([operation], schema)
    }
  }
  flush()
  return steps
}

/** The same with each new table created as it is in the end, where that fits; nobody has written rows to them meanwhile. */
function fold(
  operations: readonly SchemaOperation[],
  before: SchemaState,
): readonly SchemaOperation[] {
  const after = replayAll(operations, before)
  const { created, others } = partsOf(operations)
  const made = diff(
    {},
    only(after, (table) => created.has(table)),
  )
  const ways = [
    [...others, ...made],
    [...made, ...others],
  ]
  const isShorter = (way: readonly Operation[]) => way.length < operations.length
  return ways.find((way) => isShorter(way) && leads(way, before, after)) ?? operations
}

/** The tables that are new in the end, and what is done to those that are not. */
function partsOf(operations: readonly SchemaOperation[]) {
  const created = new Set<string>()
  const others = operations.filter((one) => {
    if (one.type === 'createTable') return !created.add(one.table)
    if (one.type === 'dropTable') return !created.delete(one.table)
    if (one.type !== 'renameTable') return !created.has(one.table)
    if (created.delete(one.from)) return !created.add(one.to)
    return true
  })
  return { created, others }
}

/** Whether operations lead to that schema and back, on both databases. */
function leads(operations: readonly Operation[], before: SchemaState, after: SchemaState): boolean {
  try {
    const reached = replayAll(operations, before)
    if (!isDeepStrictEqual(exact(reached), exact(after))) return false
    compileBoth(operations, before)
    return true
  } catch {
    return false
  }
}

/** With the names that SQLite alone has. */
function exact(schema: SchemaState) {
  const names = Object.values(schema)
    .flatMap(indexesOf)
    .flatMap(({ name, sqlite }) => (sqlite ? [`${name} ${sqlite}`] : []))
  return { schema: normalSchema(schema), names: names.sort() }
}

function compileBoth(operations: readonly Operation[], before: SchemaState): void {
  const back = reverseAll(operations)
  for (const dialect of ['mysql', 'sqlite'] as const) {
    const { after } = compileAll(operations, before, dialect)
    if (back) compileAll(back, after, dialect)
  }
}

/** What works as many migrations may not work as one: code beside a table that SQLite builds anew. */
function refuseMisfit(
  all: readonly LoadedMigration[],
  steps: readonly SquashStep[],
  before: SchemaState,
): void {
  try {
    compileBoth(
      steps.map(({ operation }) => operation),
      before,
    )
  } catch (cause) {
    const names = [all[0], all.at(-1)].map((one) => one?.name).join(' to ')
    const first = steps.find(({ from }) => from)?.from?.name
    const remedy = first ? `; squash those before ${first} and those behind it` : ''
    throw errors.MIGRATION_INVALID.with(
      { cause },
      names,
      `as one, ${(cause as Error).message}${remedy}`,
    )
  }
}

/** The file of a squash. */
function renderSquash(
  steps: readonly SquashStep[],
  {
    accept,
    replaces,
    unmanaged,
  }: Pick<LoadedMigration, 'accept' | 'unmanaged'> & { replaces: readonly Recordable[] },
): string {
  const files = new Map(steps.flatMap(({ from }) => (from ? [[from.name, from.file]] : [])))
  const imports = Array.from(files, ([name, file]) => `import ${nameIn(name)} from './${file}'`)
  const calls = steps.map(({ operation, from }) =>
    from ? new Call('stepOf', [new Name(nameIn(from.name)), from.step]) : toCall(operation),
  )
  const settings = {
    accept,
    replaces: Object.fromEntries(replaces.map(({ name, checksum }) => [name, checksum])),
    unmanaged,
  }
  const makers = new Set(['defineMigration', ...steps.flatMap(makersOf)])
  const head = [importOf([...makers].sort()), ...imports].join('\n')
  return `${head}\n\n${definition(calls, settings)}`
}

const nameIn = (migration: string) => `step${migration.slice(0, 4)}`

function makersOf({ operation, from }: SquashStep): string[] {
  if (from) return ['stepOf']
  const state = operation.type === 'runSql' ? (operation.state ?? []) : []
  return [operation.type, ...state.flatMap((one) => makersOf({ operation: one }))]
}
