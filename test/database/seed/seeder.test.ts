import { join } from 'node:path'
import t from 'tap'
import { createMigrator } from '../../../src/database/migration/migrator.ts'
import { portable } from '../../../src/database/portable.ts'
import {
  createSeeder,
  type SeedEvent,
  type Seeder,
  type SeedOptions,
} from '../../../src/database/seed/seeder.ts'
import {
  type AnyDatabase,
  creating,
  folder,
  migration,
  onEveryDatabase,
  open,
  tablesOf,
} from '../fixture.ts'

/** A seed of `count` rows in batches of two that logs the rows it handles in `globalThis.handled`. */
function seeding(table: string, count: number, inEachBatch = '', more = ''): string {
  return `export default {
    summary: '${count} rows', total: ${count}, ${more}
    async run({ db, batches, progress, done, signal }) {
      for (const batch of batches(Array.from({ length: ${count} }, (_, i) => ({ n: i + 1 })), 2)) {
        globalThis.handled.push(...batch.map(({ n }) => '${table}' + n))
        ${inEachBatch}
        const found = await db.selectFrom('${table}').select('n').where('n', 'in', batch.map(({ n }) => n)).execute()
        const missing = batch.filter(({ n }) => !found.some((row) => row.n === n))
        if (missing.length > 0) await db.insertInto('${table}').values(missing).execute()
        await progress(batch.length, missing.length)
      }
    },
  }`
}

const settled = { pending: async () => [] }
const resumable = 'resumable: true,'
const unlucky = `if (globalThis.broken && batch[0].n === 3) throw new Error('no luck')`

/** Stops the run when a seed has reported `rows`. */
function stopAt(rows: number): Pick<SeedOptions, 'signal' | 'on'> {
  const stop = new AbortController()
  const on = (event: SeedEvent) => {
    if (event.type === 'progress' && event.rows === rows) stop.abort()
  }
  return { signal: stop.signal, on }
}

interface Prepared {
  seeder: Seeder
  handled: string[]
  directory: string
}

async function prepare(
  t: Parameters<typeof folder>[0],
  db: AnyDatabase,
  files: Record<string, string>,
) {
  const { createTable, types } = portable(db)
  for (const table of ['a', 'b']) await createTable(table).addColumn('n', types.id).execute()
  const handled: string[] = []
  Object.assign(globalThis, { handled })
  const directory = folder(t, files)
  return {
    seeder: createSeeder({ db, directory, migrator: settled }),
    handled,
    directory,
  } satisfies Prepared
}

async function numbers(db: AnyDatabase, table: string): Promise<unknown[]> {
  const rows = await db.selectFrom(table).select('n').orderBy('n').execute()
  return rows.map(({ n }) => n)
}

onEveryDatabase(t, 'runs each seed once, in order', async (t, { db }) => {
  const files = { '01_a.ts': seeding('a', 3), '02_b.ts': seeding('b', 1) }
  const { seeder, handled } = await prepare(t, db, files)
  const events: SeedEvent[] = []
  const results = await seeder.seed({ on: (event) => events.push(event) })
  t.match(results, [
    { name: '01_a', skipped: false, rows: 3, added: 3, duration_ms: Number },
    { name: '02_b', skipped: false, rows: 1, added: 1, duration_ms: Number },
  ])
  t.match(events, [
    { type: 'start', name: '01_a', summary: '3 rows', total: 3, done: 0 },
    { type: 'progress', name: '01_a', rows: 2 },
    { type: 'progress', name: '01_a', rows: 3 },
    { type: 'done', name: '01_a' },
    { type: 'start', name: '02_b' },
    { type: 'progress', name: '02_b', rows: 1 },
    { type: 'done', name: '02_b' },
  ])
  t.strictSame(handled.splice(0), ['a1', 'a2', 'a3', 'b1'])

  t.match(await seeder.seed(), [
    { name: '01_a', skipped: true, rows: 3, added: 0 },
    { name: '02_b', skipped: true, rows: 1, added: 0 },
  ])
  t.strictSame(handled, [])
  t.strictSame(await numbers(db, 'a'), [1, 2, 3])
})

onEveryDatabase(t, 'runs a finished seed again when asked, by name', async (t, { db }) => {
  const files = { '01_a.ts': seeding('a', 3), '02_b.ts': seeding('b', 1) }
  const { seeder, handled } = await prepare(t, db, files)
  await seeder.seed()
  await db.deleteFrom('a').where('n', '=', 2).execute()
  handled.splice(0)
  t.match(await seeder.seed({ names: ['a'], again: true }), [{ name: '01_a', rows: 3, added: 1 }])
  t.strictSame(handled, ['a1', 'a2', 'a3'])
  t.strictSame(await numbers(db, 'a'), [1, 2, 3])
})

onEveryDatabase(t, 'runs only the seeds that are named', async (t, { db }) => {
  const files = { '01_a.ts': seeding('a', 1), '02_b.ts': seeding('b', 1) }
  const { seeder } = await prepare(t, db, files)
  t.match(await seeder.seed({ names: ['02_b'] }), [{ name: '02_b' }])
  t.strictSame(await numbers(db, 'a'), [])
  await t.rejects(seeder.seed({ names: ['a', 'c'] }), {
    code: 'SEED_UNKNOWN',
    message: 'There is no seed c; there are: 01_a, 02_b',
  })
  t.strictSame(await numbers(db, 'a'), [], 'nothing is run where one name is wrong')
})

onEveryDatabase(t, 'stops a resumable seed behind a batch and goes on there', async (t, { db }) => {
  const { seeder, handled } = await prepare(t, db, {
    '01_a.ts': seeding('a', 7, '', resumable),
    '02_b.ts': seeding('b', 1),
  })
  await t.rejects(seeder.seed(stopAt(4)), { name: 'AbortError' })
  t.strictSame(await numbers(db, 'a'), [1, 2, 3, 4])
  handled.splice(0)
  const events: SeedEvent[] = []
  const results = await seeder.seed({ on: (event) => events.push(event) })
  t.match(results, [
    { rows: 7, added: 3 },
    { rows: 1, added: 1 },
  ])
  t.match(events[0], { type: 'start', done: 4 })
  t.strictSame(handled, ['a5', 'a6', 'a7', 'b1'])
  t.strictSame(await numbers(db, 'a'), [1, 2, 3, 4, 5, 6, 7])
})

onEveryDatabase(
  t,
  'undoes any other seed that is stopped, and starts it anew',
  async (t, { db }) => {
    const { seeder, handled } = await prepare(t, db, { '01_a.ts': seeding('a', 3) })
    await t.rejects(seeder.seed(stopAt(2)), { name: 'AbortError' })
    t.strictSame(await numbers(db, 'a'), [])
    handled.splice(0)
    t.match(await seeder.seed(), [{ rows: 3, added: 3 }])
    t.strictSame(handled, ['a1', 'a2', 'a3'])
  },
)

onEveryDatabase(t, 'lets signals in while it runs', async (t, { db }) => {
  const { seeder } = await prepare(t, db, { '01_a.ts': seeding('a', 100, '', resumable) })
  const stop = new AbortController()
  setImmediate(() => stop.abort())
  await t.rejects(seeder.seed({ signal: stop.signal }), { name: 'AbortError' })
  t.ok((await numbers(db, 'a')).length < 100)
})

onEveryDatabase(t, 'undoes a seed that throws, with its record', async (t, { db }) => {
  const { seeder } = await prepare(t, db, {
    '01_a.ts': seeding('a', 1),
    '02_b.ts': seeding('b', 5, unlucky),
  })
  Object.assign(globalThis, { broken: true })
  await t.rejects(seeder.seed(), {
    code: 'SEED_FAILED',
    message:
      'The seed 02_b failed: no luck. Nothing of it is kept; mend it and run manage seed again',
  })
  t.strictSame(await numbers(db, 'a'), [1], 'a seed before it is kept')
  t.strictSame(await numbers(db, 'b'), [])
  Object.assign(globalThis, { broken: false })
  t.match(await seeder.seed(), [{ skipped: true }, { rows: 5, added: 5 }])
  t.strictSame(await numbers(db, 'b'), [1, 2, 3, 4, 5])
})

onEveryDatabase(t, 'runs a seed once, however many start it', async (t, { db, url }) => {
  const { seeder, handled, directory } = await prepare(t, db, { '01_a.ts': seeding('a', 3) })
  const other = createSeeder({
    db: await open(t, url),
    directory,
    migrator: settled,
  })
  const [one, two] = await Promise.all([seeder.seed(), other.seed()])
  t.strictSame([one[0]?.skipped, two[0]?.skipped].sort(), [false, true])
  t.strictSame(handled, ['a1', 'a2', 'a3'])
})

onEveryDatabase(t, 'keeps what a resumable seed that throws had committed', async (t, { db }) => {
  const broken = seeding('a', 5, unlucky, resumable)
  const { seeder, handled } = await prepare(t, db, {
    '01_a.ts': broken,
    '02_b.ts': seeding('b', 1),
  })
  Object.assign(globalThis, { broken: true })
  await t.rejects(seeder.seed(), {
    code: 'SEED_FAILED',
    message:
      'The seed 01_a failed: no luck. What it had committed is kept; mend it and run manage seed again to go on there',
  })
  t.strictSame(await numbers(db, 'a'), [1, 2])
  t.strictSame(await numbers(db, 'b'), [])
  Object.assign(globalThis, { broken: false })
  handled.splice(0)
  t.match(await seeder.seed(), [{ name: '01_a', rows: 5, added: 3 }, { name: '02_b' }])
  t.strictSame(handled, ['a3', 'a4', 'a5', 'b1'])
})

onEveryDatabase(t, 'refuses while migrations are pending', async (t, { db }) => {
  const { directory } = await prepare(t, db, { '01_a.ts': seeding('a', 1) })
  const migrator = { pending: async () => ['0001_one', '0002_two'] }
  await t.rejects(createSeeder({ db, directory, migrator }).seed(), {
    code: 'MIGRATION_PENDING',
    message: 'These migrations have not been applied: 0001_one, 0002_two; run manage migrate first',
  })
  t.strictSame(await tablesOf(db), ['a', 'b'])
})

onEveryDatabase(t, 'refuses files that are no seeds before it runs any', async (t, { db }) => {
  const files = { '01_a.ts': seeding('a', 1), '02_b.ts': 'export default {}' }
  const { seeder, directory } = await prepare(t, db, files)
  await t.rejects(seeder.seed(), {
    code: 'SEED_INVALID',
    message: `The seed ${join(directory, '02_b.ts')} cannot be used: it has no default export made by defineSeed({ summary, run })`,
  })
  t.strictSame(await numbers(db, 'a'), [])
})

onEveryDatabase(t, 'runs seeds again after a migration was taken back', async (t, { db }) => {
  const directory = folder(t, { '0001_a.ts': creating('a'), '0002_b.ts': creating('b') })
  const migrator = createMigrator({ db, directory })
  await migrator.migrate()
  const seeds = join(directory, 'seeds')
  const { mkdirSync, writeFileSync } = await import('node:fs')
  mkdirSync(seeds)
  writeFileSync(join(seeds, '01_a.ts'), seeding('a', 2))
  Object.assign(globalThis, { handled: [] })
  const seeder = createSeeder({ db, migrator, directory: seeds })
  await seeder.seed()
  await migrator.rollback({ steps: 2 })
  await migrator.migrate()
  t.match(await seeder.seed(), [{ skipped: false, added: 2 }])
  t.strictSame(await numbers(db, 'a'), [1, 2])
})

// Two tables that refer to each other, one that refers to itself, and one that numbers its rows.
const related = migration(
  `m.createTable('egg', { columns: { id: { type: 'integer' }, hen: { type: 'integer', nullable: true } }, primaryKey: ['id'] })`,
  `m.createTable('hen', { columns: { id: { type: 'integer', generated: true }, egg: { type: 'integer' }, mother: { type: 'integer', nullable: true } },
    primaryKey: ['id'], foreignKeys: [
      { name: 'hen_egg_fkey', columns: ['egg'], table: 'egg', references: ['id'] },
      { name: 'hen_mother_fkey', columns: ['mother'], table: 'hen', references: ['id'] },
    ] })`,
  `m.addForeignKey('egg', { name: 'egg_hen_fkey', columns: ['hen'], table: 'hen', references: ['id'] })`,
)
const hens = `export default { summary: 'A hen and her chick', async run({ db, progress }) {
  await db.insertInto('egg').values([{ id: 1, hen: null }, { id: 2, hen: null }]).execute()
  await db.insertInto('hen').values([{ egg: 1, mother: null }]).execute()
  await db.insertInto('hen').values([{ egg: 2, mother: 1 }]).execute()
  await db.updateTable('egg').set({ hen: 1 }).where('id', '=', 2).execute()
  await progress(4)
} }`

onEveryDatabase(t, 'starts anew on empty tables', async (t, { db }) => {
  const migrator = createMigrator({ db, directory: folder(t, { '0001_hen.ts': related }) })
  await migrator.migrate()
  const directory = folder(t, { '01_hens.ts': hens }, 'seeds')
  const seeder = createSeeder({ db, migrator, directory })
  await seeder.seed()
  const before = await db.selectFrom('hen').selectAll().orderBy('id').execute()
  await db.insertInto('egg').values({ id: 3, hen: 2 }).execute()
  await db.insertInto('hen').values({ egg: 3, mother: 2 }).execute()

  const events: SeedEvent[] = []
  const results = await seeder.seed({ fresh: true, on: (event) => events.push(event) })
  t.match(events[0], { type: 'fresh', tables: 3 })
  t.match(results, [{ name: '01_hens', skipped: false, added: 4 }])
  t.strictSame(await db.selectFrom('hen').selectAll().orderBy('id').execute(), before)
  t.match(before, [{ id: 1 }, { id: 2 }])
  t.match(await db.selectFrom('egg').selectAll().execute(), { length: 2 })
  t.strictSame(await migrator.pending(), [])
  await t.rejects(
    db.insertInto('egg').values({ id: 9, hen: 99 }).execute(),
    /foreign key/i,
    'foreign keys are looked at again',
  )
})

onEveryDatabase(t, 'empties nothing where the seeds cannot be run', async (t, { db }) => {
  const files = { '01_a.ts': seeding('a', 1), '02_b.ts': 'export default {}' }
  const { seeder } = await prepare(t, db, files)
  await db.insertInto('b').values({ n: 7 }).execute()
  await t.rejects(seeder.seed({ fresh: true }), { code: 'SEED_INVALID' })
  t.strictSame(await numbers(db, 'b'), [7])
})
