import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { isComputed } from '../src/database/dialect/ddl.ts'
import { readSchema } from '../src/database/inspect/differences.ts'
import { emptyTables } from '../src/database/maintenance.ts'
import { diff } from '../src/database/migration/autodetector.ts'
import { createMigrator } from '../src/database/migration/migrator.ts'
import { replayAll } from '../src/database/migration/operations/index.ts'
import { type Renames, renameOperations } from '../src/database/migration/renames.ts'
import { type Fills, findUnfilled, render, withFills } from '../src/database/migration/writer.ts'
import type { SchemaState, TableState } from '../src/database/schema/state.ts'
import { PlinthError } from '../src/errors.ts'
import {
  mutateSchema,
  type Random,
  randomRenames,
  randomSchema,
  seeded,
} from '../test/helpers/random-schema.ts'
import { fillTables, fillValue, sourcesOf, valuesIn } from './migrate-rows.ts'
import { type AnyDatabase, withDatabase } from './migrations.ts'
import { assertSame, type Proof, type ProofOptions } from './proof.ts'

export const proof: Proof = {
  summary:
    'From the models A, makemigrations and migrate lead to what the models B make from nothing, and rollback leads back; rows in every table keep their values, and what is computed is right, alike on both databases',
  drivers: ['sqlite', 'mysql'],
  size: { full: 1000, short: 4 },
  prove,
}

async function prove(options: ProofOptions): Promise<Record<string, number>> {
  const one = await options.createDatabase()
  const other = await options.createDatabase()
  // Beside whatever the others are.
  const twin = `sqlite:${join(options.folder, 'twin.db')}`
  const counts = {
    pairs: 0,
    unchanged: 0,
    operations: 0,
    renames: 0,
    computed: 0,
    rows: 0,
    'refused for rows': 0,
    'rollbacks refused for rows': 0,
    'ended by hand': 0,
  }
  await withDatabase(one, (db) =>
    withDatabase(other, (fresh) =>
      withDatabase(twin, async (sqlite) => {
        for (let pair = 1; pair <= options.size; pair++) {
          // Of the pair alone, so that one that fails can be looked at by itself.
          const seed = options.seed + pair - 1
          const place = { db, fresh, twin: sqlite, folder: join(options.folder, `${pair}`) }
          const found = await provePair(seeded(seed), place).catch((cause) => {
            throw new Error(`the pair of --seed ${seed} --size 1: ${cause.message}`, { cause })
          })
          counts.pairs += 1
          counts.operations += found.operations
          counts.renames += found.renames
          counts.computed += found.computed
          counts.unchanged += found.operations === 0 ? 1 : 0
          counts.rows += found.rows
          counts['refused for rows'] += found.refused
          counts['rollbacks refused for rows'] += found.kept
          counts['ended by hand'] += found.byHand
          options.tell(pair)
        }
      }),
    ),
  )
  return counts
}

interface Place {
  db: AnyDatabase
  fresh: AnyDatabase
  /** SQLite, on which the same is done to the same rows. */
  twin: AnyDatabase
  folder: string
}

/** What has come of a pair. */
interface Found {
  /** How many operations lead from A to B. */
  operations: number
  renames: number
  /** How many columns of B are computed. */
  computed: number
  rows: number
  refused: number
  kept: number
  byHand: number
}

async function provePair(random: Random, place: Place): Promise<Found> {
  const { db, fresh, twin, folder } = place
  const a = randomSchema(random)
  const changed = random() < 0.5 ? randomSchema(random) : mutateSchema(random, a)
  const renames = randomRenames(random, a, changed)
  const renaming = renameOperations(renames)
  const b = replayAll(renaming, changed)
  const found = diff(a, b, renames)
  const change = withFills(found, fillsFor(found))
  const direct = join(folder, 'b')
  const directory = join(folder, 'ab')
  write(directory, '0001_a', diff({}, a))
  if (change.length > 0) write(directory, '0002_b', change)
  write(direct, '0001_b', diff({}, b))

  const migrator = createMigrator({ db, directory })
  await migrator.migrate({ to: '0001' })
  const before = await comparable(db)
  await migrator.migrate()
  await createMigrator({ db: fresh, directory: direct }).migrate()
  const where = `A ${JSON.stringify(a)}\nB ${JSON.stringify(b)}\n`
  assertSame(await comparable(db), await comparable(fresh), `${where}after the migration`)
  if (change.length > 0) await migrator.rollback({ steps: 1 })
  assertSame(await comparable(db), before, `${where}after the rollback`)
  await createMigrator({ db: fresh, directory: direct }).rollback({ steps: 1 })

  const told = await proveRows({ a, b, renames, directory, where }, { db, twin })
  await migrator.rollback({ steps: 2 })
  await createMigrator({ db: twin, directory }).rollback({ steps: 2 })
  assertSame(await comparable(db), [], `${where}after taking everything back`)
  rmSync(folder, { recursive: true })
  const computed = Object.values(b).flatMap(({ columns }) =>
    Object.values(columns).filter((column) => isComputed(column)),
  )
  return {
    operations: change.length,
    renames: renaming.length,
    computed: computed.length,
    ...told,
  }
}

interface Change {
  a: SchemaState
  b: SchemaState
  renames: Renames
  directory: string
  where: string
}

/** The same with rows in all tables: what is not changed is kept, on both databases alike, whether the migration is done or refused. */
async function proveRows(
  { a, b, renames, directory, where }: Change,
  { db, twin }: Pick<Place, 'db' | 'twin'>,
): Promise<Omit<Found, 'operations' | 'renames' | 'computed'>> {
  // As A is under the names of B.
  const from = replayAll(renameOperations(renames), a)
  const isKept = (table: string, column: string) => isAsBefore(from, b, table, column)
  // Where what had happened is taken back, what was dropped is gone, and what was filled in where it was null stays so.
  const isSafe = (table: string, column: string) =>
    isKept(table, column) && !from[table]?.columns[column]?.nullable
  const read = (one: AnyDatabase, isWanted?: typeof isKept) => valuesIn(one, a, isWanted, renames)
  const kept = (values: Awaited<ReturnType<typeof valuesIn>>) =>
    Object.fromEntries(Object.entries(values).filter(([table]) => from[table] && b[table]))
  const outcomes: Outcome[] = []
  for (const one of [db, twin]) {
    const migrator = createMigrator({ db: one, directory })
    await migrator.migrate({ to: '0001' })
    const count = await fillTables(one, a)
    const all = await read(one)
    const same = kept(await read(one, isKept))
    const safe = kept(await read(one, isSafe))
    const refused = await refusalOf(one, migrator.migrate(), () => migrator.rollback({ steps: 1 }))
    if (refused?.endsWith(NOTHING))
      assertSame(await read(one), all, `${where}${refused}: all rows are as before`)
    else if (refused && refused !== BY_HAND)
      assertSame(kept(await read(one, isSafe)), safe, `${where}${refused}: rows are as before`)
    else if (!refused)
      assertSame(kept(await valuesIn(one, b, isKept)), same, `${where}what stays is kept`)
    const now = refused ? all : await valuesIn(one, b)
    const back =
      refused ||
      (await refusalOf(
        one,
        migrator.rollback({ steps: (await migrator.status()).length - 1 }),
        () => migrator.migrate(),
      ))
    if (!back) assertSame(kept(await read(one, isKept)), same, `${where}and back`)
    outcomes.push({ count, refused, back, all, now })
  }
  const [one, other] = outcomes as [Outcome, Outcome]
  assertSame(one.all, other.all, `${where}the rows on both databases`)
  if (!one.refused && !other.refused)
    assertSame(
      keptOnly(one.now, from, b),
      keptOnly(other.now, from, b),
      `${where}the values on both databases`,
    )
  for (const database of [db, twin]) await emptyTables(database)
  return {
    rows: one.count * Object.keys(a).length,
    refused: one.refused ? 1 : 0,
    kept: one.back && !one.refused ? 1 : 0,
    byHand: [one.refused, one.back].includes(BY_HAND) ? 1 : 0,
  }
}

interface Outcome {
  count: number
  /** What was said, where rows did not let it happen. */
  refused: string | undefined
  back: string | undefined
  all: Awaited<ReturnType<typeof valuesIn>>
  now: Awaited<ReturnType<typeof valuesIn>>
}

/** Why it was refused; what had happened of it is undone then, by hand where the rows do not even let that happen. */
async function refusalOf(
  db: AnyDatabase,
  work: Promise<unknown>,
  undo: () => Promise<unknown>,
): Promise<string | undefined> {
  const message = await failureOf(() => work)
  if (message === undefined || message.endsWith(NOTHING)) return message
  if ((await failureOf(undo)) === undefined) return message
  await emptyTables(db)
  await undo()
  return BY_HAND
}

const NOTHING = 'Nothing of it stays; mend it and run this again'
const BY_HAND = 'the rows let it go neither way'

async function failureOf(work: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    if (!PlinthError.is(error) || error.code !== 'MIGRATION_FAILED') throw error
    return error.message
  }
}

/** Whether a column is in both, and so are its values: of one that is computed what it is computed from has to be the same, too. */
function isAsBefore(a: SchemaState, b: SchemaState, table: string, column: string): boolean {
  const [before, after] = [a[table], b[table]]
  if (!before?.columns[column] || !after?.columns[column]) return false
  return sourcesOf(after, column).every((one) =>
    isDeepStrictEqual(before.columns[one], after.columns[one]),
  )
}

/** What both databases have of columns that are new, or as they were: how a value becomes one of another type each has its own way. */
function keptOnly(values: Outcome['now'], a: SchemaState, b: SchemaState): Outcome['now'] {
  const tables = Object.entries(values).filter(([table]) => b[table])
  const isRetyped = (table: string, column: string) =>
    sourcesOf(b[table] as TableState, column).some(
      (one) => a[table]?.columns[one] && !isAsBefore(a, b, table, one),
    )
  return Object.fromEntries(
    tables.map(([table, rows]) => [
      table,
      rows.map((row) =>
        JSON.stringify(
          (JSON.parse(row) as [string, unknown][]).filter(([column]) => !isRetyped(table, column)),
        ),
      ),
    ]),
  )
}

/** What somebody says for rows that need a value; now and then nobody does. */
function fillsFor(operations: ReturnType<typeof diff>): Fills {
  const all = findUnfilled(operations).map(
    ({ place, column }) => [place, fillValue(column)] as const,
  )
  return Object.fromEntries(
    all.filter(([place, fill]) => fill !== undefined && place.length % 5 > 0),
  ) as Fills
}

function write(directory: string, name: string, operations: ReturnType<typeof diff>): void {
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, `${name}.ts`), render(operations))
}

/** What a database has, in an order of its own: the order of columns is no difference. */
async function comparable(db: AnyDatabase): Promise<unknown> {
  const { schema, notes } = await readSchema(db)
  assertSame(notes, [], 'what a schema cannot say')
  return byName(schema).map(([name, table]) => [name, sorted(table)])
}

function sorted({
  columns,
  indexes = [],
  unique = [],
  foreignKeys = [],
  ...rest
}: SchemaState[string]) {
  const named = <T extends { name: string }>(all: readonly T[]) =>
    all.toSorted((x, y) => (x.name < y.name ? -1 : 1))
  return {
    ...rest,
    columns: byName(columns),
    indexes: named(indexes),
    unique: named(unique),
    foreignKeys: named(foreignKeys),
  }
}

function byName<T>(record: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1))
}
