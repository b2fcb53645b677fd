import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readSchema } from '../src/database/inspect/read-schema.ts'
import { diff } from '../src/database/migration/autodetector.ts'
import { createMigrator } from '../src/database/migration/migrator.ts'
import { render } from '../src/database/migration/writer.ts'
import type { SchemaState } from '../src/database/schema/state.ts'
import { mutateSchema, type Random, randomSchema, seeded } from '../test/helpers/random-schema.ts'
import { type AnyDatabase, withDatabase } from './migrations.ts'
import { assertSame, type Proof, type ProofOptions } from './proof.ts'

export const proof: Proof = {
  summary:
    'From the models A, makemigrations and migrate lead to what the models B make from nothing, and rollback leads back',
  drivers: ['sqlite', 'mysql'],
  size: { full: 1000, short: 4 },
  prove,
}

async function prove(options: ProofOptions): Promise<Record<string, number>> {
  const [one, other] = [await options.createDatabase(), await options.createDatabase()]
  const counts = { pairs: 0, unchanged: 0, operations: 0 }
  await withDatabase(one, (db) =>
    withDatabase(other, async (fresh) => {
      for (let pair = 1; pair <= options.size; pair++) {
        // Of the pair alone, so that one that fails can be looked at by itself.
        const seed = options.seed + pair - 1
        const place = { db, fresh, folder: join(options.folder, `${pair}`) }
        const operations = await provePair(seeded(seed), place).catch((cause) => {
          throw new Error(`the pair of --seed ${seed} --size 1: ${cause.message}`, { cause })
        })
        counts.pairs += 1
        counts.operations += operations
        counts.unchanged += operations === 0 ? 1 : 0
        options.tell(pair)
      }
    }),
  )
  return counts
}

interface Place {
  db: AnyDatabase
  fresh: AnyDatabase
  folder: string
}

/** @returns how many operations lead from A to B */
async function provePair(random: Random, { db, fresh, folder }: Place): Promise<number> {
  const a = randomSchema(random)
  const b = random() < 0.5 ? randomSchema(random) : mutateSchema(random, a)
  const change = diff(a, b)
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

  await migrator.rollback({ steps: 2 })
  await createMigrator({ db: fresh, directory: direct }).rollback({ steps: 1 })
  assertSame(await comparable(db), [], `${where}after taking everything back`)
  rmSync(folder, { recursive: true })
  return change.length
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
