import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { readSchema } from '../../../src/database/inspect/differences.ts'
import { readMigrations } from '../../../src/database/migration/loader.ts'
import { createMigrator } from '../../../src/database/migration/migrator.ts'
import { draftSquash, writeSquash } from '../../../src/database/migration/squash.ts'
import {
  type AnyDatabase,
  folder,
  migration,
  onEveryDatabase,
  onMysql,
  open,
  tablesOf,
} from '../fixture.ts'

const country = `{ columns: { code: { type: 'char(2)' }, name: { type: 'varchar(80)' } }, primaryKey: ['code'] }`
const city = `{
  columns: { id: { type: 'integer' }, name: { type: 'varchar(80)' }, country: { type: 'char(2)' } },
  primaryKey: ['id'], indexes: [{ name: 'city_country_idx', columns: ['country'] }],
  foreignKeys: [{ name: 'city_country_fkey', columns: ['country'], table: 'country', references: ['code'] }] }`

/** What a team has written; rows of a third table are there from 0003 on. */
const FILES: Readonly<Record<string, string>> = {
  '0001_country.ts': migration(`m.createTable('country', ${country})`),
  '0002_city.ts': migration(
    `m.createTable('town', ${city})`,
    `m.addColumn('country', 'people', { type: 'bigint', nullable: true })`,
  ),
  '0003_rename.ts': migration(
    `m.renameTable('town', 'city')`,
    `m.addColumn('city', 'kind', { type: 'varchar(8)', values: ['town', 'city'], default: 'city' })`,
  ),
  '0004_rows.ts': migration(
    `m.runData({
      up: (db) => db.insertInto('country').values({ code: 'XX', name: 'Nowhere' }).execute(),
      down: (db) => db.deleteFrom('country').where('code', '=', 'XX').execute() })`,
  ),
  '0005_more.ts': migration(
    `m.renameColumn('country', 'people', 'population')`,
    `m.addColumn('country', 'area', { type: 'integer' }, { fill: 7 })`,
    `m.createTable('river', { columns: { id: { type: 'integer' } }, primaryKey: ['id'] })`,
    `m.addColumn('river', 'length', { type: 'integer' })`,
  ),
  '0006_later.ts': migration(`m.addIndex('city', { name: 'city_name_idx', columns: ['name'] })`),
}
const NAMES = Object.keys(FILES).map((name) => name.slice(0, -3))
const SQUASH = '0005_squashed_from_0001'

/** Files of migrations that may import the kit, and each other. */
function place(t: Test, files: Readonly<Record<string, string>>, name = 'files'): string {
  const directory = folder(t, files, name)
  mkdirSync(join(directory, 'node_modules'))
  symlinkSync(join(import.meta.dirname, '../../..'), join(directory, 'node_modules/plinth'))
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }')
  return directory
}

async function squash(directory: string, from = '0001', to = '0005'): Promise<void> {
  const recorded = await readMigrations(directory)
  await writeSquash(recorded, draftSquash(recorded, from, to))
}

/** Tables with all that is in them. */
async function contents(db: AnyDatabase) {
  const { schema } = await readSchema(db)
  const rows: Record<string, unknown> = {}
  for (const [table, { primaryKey }] of Object.entries(schema)) {
    const [key = ''] = primaryKey
    rows[table] = await db.selectFrom(table).selectAll().orderBy(key).execute()
  }
  return { schema, rows }
}

const records = async (db: AnyDatabase) =>
  await db.selectFrom('plinth_migration').select(['name', 'checksum']).orderBy('name').execute()

const migrate = async (db: AnyDatabase, directory: string, to?: string) =>
  (await createMigrator({ db, directory }).migrate({ to })).map(({ name }) => name)

/** Rows as a service has them when so many migrations are applied. */
async function addRows(db: AnyDatabase, applied: number): Promise<void> {
  if (applied < 1) return
  const area = applied < 5 ? {} : { area: 7 }
  await db
    .insertInto('country')
    .values({ code: 'FR', name: 'France', ...area })
    .execute()
  const table = applied < 2 ? undefined : applied < 3 ? 'town' : 'city'
  if (table) await db.insertInto(table).values({ id: 1, name: 'Paris', country: 'FR' }).execute()
}

let number = 0

for (const applied of [0, 1, 2, 3, 4, 5, 6]) {
  onEveryDatabase(
    t,
    `a database that has ${applied} of six goes on, up and down, with its rows`,
    async (t, { db, driver }) => {
      const old = place(t, FILES, `old-${number++}`)
      const replayed = driver.name === 'sqlite' ? await other(t, old, applied) : undefined
      const last = NAMES[applied - 1]
      if (last) await migrate(db, old, last)
      await addRows(db, applied)
      const directory = place(t, FILES, `new-${number++}`)
      await squash(directory)
      const migrator = createMigrator({ db, directory })
      const expected = applied === 0 ? [SQUASH, '0006_later'] : NAMES.slice(applied)
      t.strictSame(await migrator.pending(), expected)
      t.strictSame(await migrate(db, directory), expected)
      const now = await contents(db)
      if (replayed) t.strictSame(now, replayed)
      t.strictSame(now.rows.country, [
        ...(applied > 0 ? [{ code: 'FR', name: 'France', population: null, area: 7 }] : []),
        { code: 'XX', name: 'Nowhere', population: null, area: 7 },
      ])
      t.strictSame(
        (await records(db)).map(({ name }) => name),
        NAMES,
        'the release before knows it',
      )
      t.strictSame(await createMigrator({ db, directory: old }).pending(), [])

      t.strictSame(
        (await migrator.rollback({ steps: 1 })).map(({ name }) => name),
        ['0006_later'],
      )
      t.strictSame(
        (await migrator.rollback({ steps: 9 })).map(({ name }) => name),
        NAMES.slice(0, 5).reverse(),
      )
      t.strictSame(await tablesOf(db), [])
      t.strictSame(await migrate(db, directory), [SQUASH, '0006_later'], 'and up again')
    },
  )
}

/** What the migrations that are replaced make of the same rows, in another database. */
async function other(t: Test, directory: string, applied: number) {
  const db = await open(t, `sqlite:${join(t.testdirName, `other-${number++}.db`)}`)
  const last = NAMES[applied - 1]
  if (last) await migrate(db, directory, last)
  await addRows(db, applied)
  await migrate(db, directory)
  return await contents(db)
}

onEveryDatabase(t, 'when the files are gone', async (t, { db }) => {
  const directory = place(t, FILES, `gone-${number++}`)
  await migrate(db, directory)
  await addRows(db, 6)
  const before = await contents(db)
  await squash(directory)
  for (const name of ['0001_country', '0002_city', '0003_rename', '0005_more'])
    rmSync(join(directory, `${name}.ts`))
  const events: unknown[] = []
  const migrator = createMigrator({ db, directory })
  t.match(await migrator.status(), [
    { name: SQUASH, state: 'applied' },
    { name: '0006_later', state: 'applied' },
  ])
  t.strictSame(await migrator.migrate({ on: (event) => events.push(event) }), [])
  t.match(events, [{ type: 'renumbered', name: SQUASH, from: NAMES.slice(0, 5).join(', ') }])
  t.strictSame(
    (await records(db)).map(({ name }) => name),
    [SQUASH, '0006_later'],
  )
  t.strictSame(await contents(db), before, 'no row is touched')
  t.strictSame(
    (await migrator.rollback({ steps: 2 })).map(({ name }) => name),
    ['0006_later', SQUASH],
  )
  t.strictSame(await tablesOf(db), [])
  t.strictSame(await migrate(db, directory), [SQUASH, '0006_later'])
  t.strictSame(
    (await records(db)).map(({ name }) => name),
    [SQUASH, '0006_later'],
  )
})

onEveryDatabase(
  t,
  'a database that has a part of it, when the files are gone',
  async (t, { db }) => {
    const directory = place(t, FILES, `part-${number++}`)
    await migrate(db, directory, '0003')
    await squash(directory)
    for (const name of ['0002_city', '0005_more']) rmSync(join(directory, `${name}.ts`))
    await t.rejects(migrate(db, directory), {
      code: 'MIGRATION_INVALID',
      message: /the database has some of what it replaces, but not 0005_more, whose files are gone/,
    })
  },
)

onEveryDatabase(t, 'up to a migration within a squash', async (t, { db }) => {
  const directory = place(t, FILES, `within-${number++}`)
  await squash(directory)
  t.strictSame(await migrate(db, directory, '0002'), ['0001_country', '0002_city'])
  t.strictSame(await migrate(db, directory), NAMES.slice(2))
})

onEveryDatabase(t, 'a squash of a squash', async (t, { db }) => {
  const directory = place(t, FILES, `twice-${number++}`)
  await migrate(db, directory, '0003')
  await squash(directory, '0001', '0003')
  const again = squash(directory, '0003', '0004')
  await t.rejects(again, { code: 'MIGRATION_INVALID', message: /what it replaces is still there/ })
  for (const name of ['0001_country', '0002_city', '0003_rename'])
    rmSync(join(directory, `${name}.ts`))
  await squash(directory, '0003', '0005')
  t.strictSame(
    readdirSync(directory).filter((name) => name.includes('squashed')),
    ['0003_squashed_from_0001.ts', '0005_squashed_from_0003.ts'],
  )
  t.strictSame(await migrate(db, directory), ['0004_rows', '0005_more', '0006_later'])
  const migrator = createMigrator({ db, directory })
  await migrator.rollback({ steps: 9 })
  t.strictSame(await tablesOf(db), [])
  t.strictSame(await migrate(db, directory), ['0005_squashed_from_0003', '0006_later'])
})

t.test('what it does is less, and what it takes from a file is told', async (t) => {
  const directory = place(t, FILES, `text-${number++}`)
  const recorded = await readMigrations(directory)
  const draft = draftSquash(recorded, '0001_country', '0005_more')
  t.match(draft, {
    name: SQUASH,
    before: 10,
    after: 6,
    code: [{ migration: '0004_rows', step: 1 }],
  })
  await writeSquash(recorded, draft)
  const text = readFileSync(join(directory, `${SQUASH}.ts`), 'utf8')
  t.match(text, /^import step0004 from '\.\/0004_rows\.ts'$/m)
  t.match(text, /^ {4}stepOf\(step0004, 1\),$/m)
  t.match(text, /^ {6}'0005_more': '[0-9a-f]{64}',$/m)
  t.notMatch(text, /town'\)|renameTable/)
  const { schema } = await readMigrations(directory)
  t.strictSame(schema, recorded.schema)
})

t.test('what cannot be squashed', async (t) => {
  const files = {
    ...FILES,
    '0007_cascade.ts': migration(
      `m.createTable('port', { columns: { city: { type: 'integer' } }, primaryKey: ['city'],
        foreignKeys: [{ name: 'port_city_fkey', columns: ['city'], table: 'city', references: ['id'], onDelete: 'cascade' }] })`,
      `m.runData({ up: async () => {} })`,
    ),
    '0008_retype.ts': migration(
      `m.alterColumn('country', 'area', { from: { type: 'integer' }, to: { type: 'bigint' } })`,
    ),
  }
  const directory = place(t, files, `not-${number++}`)
  const recorded = await readMigrations(directory)
  const refused = (from: string, to: string, code: string, message: RegExp) =>
    t.throws(() => draftSquash(recorded, from, to), { code, message })
  refused('0001', '0099', 'MIGRATION_UNKNOWN', /There is no migration 0099/)
  refused('0002', '0002', 'MIGRATION_INVALID', /takes two migrations or more/)
  refused('0003', '0001', 'MIGRATION_INVALID', /takes two migrations or more/)
  refused(
    '0007',
    '0008',
    'MIGRATION_INVALID',
    /as one, .*SQLite has to rebuild .*; squash those before 0007_cascade and those behind it/,
  )
})

t.test('what a squash says has to be so', async (t) => {
  const directory = place(t, FILES, `so-${number++}`)
  await squash(directory)
  const path = join(directory, `${SQUASH}.ts`)
  const text = readFileSync(path, 'utf8')
  const original = readFileSync(join(directory, '0002_city.ts'), 'utf8')
  writeFileSync(join(directory, '0002_city.ts'), `${original}// changed`)
  await t.rejects(readMigrations(directory), {
    code: 'MIGRATION_INVALID',
    message: /it was made of another 0002_city: restore that, or squash again/,
  })
  writeFileSync(join(directory, '0002_city.ts'), original)
  const elsewhere = place(t, FILES, `so-${number++}`)
  writeFileSync(join(elsewhere, `${SQUASH}.ts`), text.replace("type: 'bigint'", "type: 'integer'"))
  await t.rejects(readMigrations(elsewhere), {
    code: 'MIGRATION_INVALID',
    message: /the table country becomes another one than by the migrations that it replaces/,
  })
})

onMysql(t, 'a squash that fails half-way is finished, or taken back', async (t, { db }) => {
  const files = {
    '0001_a.ts': migration(
      `m.createTable('a', { columns: { n: { type: 'integer' } }, primaryKey: ['n'] })`,
    ),
    '0002_b.ts': migration(
      `m.createTable('b', { columns: { n: { type: 'integer' } }, primaryKey: ['n'] })`,
      `m.runSql({ up: 'insert into gate values (1)', down: 'delete from gate' })`,
      `m.addIndex('b', { name: 'b_n_idx', columns: ['n'] })`,
    ),
  }
  const directory = place(t, files, `half-${number++}`)
  await squash(directory, '0001', '0002')
  const migrator = createMigrator({ db, directory })
  await t.rejects(migrator.migrate(), { code: 'MIGRATION_FAILED', message: /gate/ })
  t.strictSame(await tablesOf(db), ['a', 'b'])
  t.match(await migrator.status(), [{ name: '0002_squashed_from_0001', state: 'interrupted' }])
  t.match(await migrator.rollback({ steps: 1 }), [{ name: '0002_squashed_from_0001' }])
  t.strictSame(await tablesOf(db), [])

  await t.rejects(migrator.migrate(), { code: 'MIGRATION_FAILED' })
  await sql`create table gate (n int)`.execute(db)
  t.match(await migrator.migrate(), [{ name: '0002_squashed_from_0001' }])
  t.strictSame(
    (await records(db)).map(({ name }) => name),
    ['0001_a', '0002_b'],
  )
  t.match(await migrator.rollback({ steps: 1 }), [{ name: '0002_b' }])
  t.strictSame(await tablesOf(db), ['a', 'gate'])
})
