import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Kysely, type KyselyPlugin, RawNode, sql } from 'kysely'
import t, { type Test } from 'tap'
import { readSchema } from '../../../src/database/inspect/differences.ts'
import { writeJournal } from '../../../src/database/migration/journal.ts'
import {
  listMigrations,
  readMigrations,
  readStart,
} from '../../../src/database/migration/loader.ts'
import { createMigrator } from '../../../src/database/migration/migrator.ts'
import { type MigrationTables, prepareRecords } from '../../../src/database/migration/recorder.ts'
import { tasksUp } from '../../../src/database/migration/task.ts'
import { writeSnapshot } from '../../../src/database/migration/writer.ts'
import {
  type AnyDatabase,
  folder,
  migration,
  onEveryDatabase,
  onMysql,
  tablesOf,
} from '../fixture.ts'

const country = `{ columns: { code: { type: 'char(2)' } }, primaryKey: ['code'] }`
const FILES: Readonly<Record<string, string>> = {
  '0001_country.ts': migration(`m.createTable('country', ${country})`),
  '0002_city.ts': migration(
    `m.createTable('town', { columns: { id: { type: 'integer' }, country: { type: 'char(2)' } }, primaryKey: ['id'] })`,
    `m.addForeignKey('town', { name: 'town_country_fkey', columns: ['country'], table: 'country', references: ['code'] })`,
  ),
  '0003_rename.ts': migration(
    `m.renameTable('town', 'city')`,
    `m.addColumn('city', 'kind', { type: 'varchar(8)', values: ['town', 'city'], default: 'city' })`,
  ),
}
const NAMES = Object.keys(FILES).map((name) => name.slice(0, -3))

let number = 0
async function place(t: Test, more: Readonly<Record<string, string>> = {}): Promise<string> {
  const directory = folder(t, { ...FILES, ...more }, `start-${number++}`)
  await writeSnapshot(await readMigrations(directory))
  return directory
}

/** What `--plan` says that an empty database is to do. */
const planned = async (db: AnyDatabase, directory: string) =>
  (await createMigrator({ db, directory }).plan()).map(({ name }) => name)

const rowsOf = async (db: AnyDatabase) =>
  await db
    .selectFrom('plinth_migration')
    .select(['name', 'checksum', 'position', 'state'])
    .orderBy('name')
    .execute()

onEveryDatabase(
  t,
  'an empty database starts from the recorded schema in one step',
  async (t, { db }) => {
    const directory = await place(t)
    t.strictSame(await planned(db, directory), ['start:0003_rename'])
    const migrator = createMigrator({ db, directory })
    const events: string[] = []
    const results = await migrator.migrate({
      on: (event) => event.type === 'done' && events.push(event.name),
    })
    t.strictSame(
      results.map(({ name }) => name),
      NAMES,
    )
    t.strictSame(events, NAMES)
    const started = await readSchema(db)
    const listed = await listMigrations(directory)
    t.strictSame(
      await rowsOf(db),
      listed.map(({ name, checksum }) => ({ name, checksum, position: null, state: null })),
    )
    t.strictSame(await migrator.migrate(), [])

    t.strictSame(
      (await migrator.rollback({ steps: 3 })).map(({ name }) => name),
      NAMES.toReversed(),
    )
    t.strictSame(await tablesOf(db), [])
    for (const to of NAMES) await migrator.migrate({ to })
    t.strictSame(await readSchema(db), started, 'as by one after the other')
  },
)

onEveryDatabase(t, 'up to the first step by hand, from there on one by one', async (t, { db }) => {
  const directory = await place(t, {
    '0004_rows.ts': migration(
      `m.runData({ up: (db) => db.insertInto('country').values({ code: 'XX' }).execute() })`,
    ),
    '0005_more.ts': migration(`m.addColumn('country', 'area', { type: 'integer' }, { fill: 7 })`),
  })
  t.strictSame(await planned(db, directory), ['start:0003_rename', '0004_rows', '0005_more'])
  const results = await createMigrator({ db, directory }).migrate()
  t.strictSame(
    results.map(({ name }) => name),
    [...NAMES, '0004_rows', '0005_more'],
  )
  t.strictSame(await db.selectFrom('country').selectAll().execute(), [{ code: 'XX', area: 7 }])
})

onEveryDatabase(
  t,
  'a schema that was written for other files is not started from',
  async (t, { db }) => {
    const directory = await place(t)
    const path = join(directory, 'schema.json')
    const text = readFileSync(path, 'utf8')
    const isReplayed = async (why: string) => t.strictSame(await planned(db, directory), NAMES, why)

    writeFileSync(path, text.replace('"default": "city"', '"default": "town"'))
    await isReplayed('the schema was changed by hand')
    writeFileSync(path, text)
    const file = join(directory, '0002_city.ts')
    const original = readFileSync(file, 'utf8')
    writeFileSync(file, `${original}//`)
    await isReplayed('a file was changed')
    writeFileSync(file, original)
    t.strictSame(await planned(db, directory), ['start:0003_rename'])
    t.strictSame(
      (await createMigrator({ db, directory }).plan({ to: '0002' })).map(({ name }) => name),
      NAMES.slice(0, 2),
      'a part of it is wanted',
    )
    await createMigrator({ db, directory }).migrate({ to: '0001' })
    t.strictSame(await planned(db, directory), NAMES.slice(1), 'the database is not empty')
  },
)

t.test('what one step would not lead to is not recorded as a start', async (t) => {
  const indexed = (table: string) =>
    `m.createTable('${table}', { columns: { n: { type: 'integer' } }, primaryKey: ['n'], indexes: [{ name: 'n_idx', columns: ['n'] }] })`
  const directory = await place(t, { '0004_index.ts': migration(indexed('b'), indexed('a')) })
  t.notOk(JSON.parse(readFileSync(join(directory, 'schema.json'), 'utf8')).start)
  const single = folder(
    t,
    { '0001_country.ts': FILES['0001_country.ts'] as string },
    `one-${number++}`,
  )
  await writeSnapshot(await readMigrations(single))
  t.notOk(JSON.parse(readFileSync(join(single, 'schema.json'), 'utf8')).start)
})

/** Leaves what a process leaves that is killed when so many statements of its start have happened. */
async function killed(db: AnyDatabase, directory: string, statements: number): Promise<void> {
  const records = db as unknown as Kysely<MigrationTables>
  await prepareRecords(records)
  const start = await readStart(directory, [], await listMigrations(directory))
  if (!start) throw new Error('there is no start')
  const [task] = await tasksUp({ applied: [], todo: [start] }, 'mysql')
  if (!task) throw new Error('there is no task')
  await writeJournal(records, task, 0, 'ahead')
  for (const step of task.steps.slice(0, statements))
    if ('sql' in step) await sql.raw(step.sql).execute(db)
}

for (const statements of [0, 1, 2]) {
  onMysql(
    t,
    `a start that is killed behind statement ${statements} is finished`,
    async (t, { db }) => {
      const directory = await place(t)
      await killed(db, directory, statements)
      const migrator = createMigrator({ db, directory })
      const last = (await migrator.status()).at(-1)
      t.match(last, { name: 'start:0003_rename', state: 'interrupted' })
      t.strictSame(
        (await migrator.migrate()).map(({ name }) => name),
        NAMES,
      )
      t.strictSame(await tablesOf(db), ['city', 'country'])
      t.strictSame(
        (await rowsOf(db)).map(({ name }) => name),
        NAMES,
      )
      t.strictSame(await migrator.pending(), [])
    },
  )
}

for (const statements of [0, 1]) {
  onMysql(
    t,
    `a start that is killed behind statement ${statements} is taken back`,
    async (t, { db }) => {
      const directory = await place(t)
      await killed(db, directory, statements)
      const migrator = createMigrator({ db, directory })
      await migrator.rollback({ steps: 1 })
      t.strictSame(await tablesOf(db), [])
      t.strictSame(await rowsOf(db), [])
      t.strictSame(
        (await migrator.migrate()).map(({ name }) => name),
        NAMES,
      )
    },
  )
}

onMysql(t, 'a start that is killed has to be ended first, as it was begun', async (t, { db }) => {
  const directory = await place(t)
  await killed(db, directory, 1)
  const migrator = createMigrator({ db, directory })
  t.strictSame(await migrator.pending(), [...NAMES, 'start:0003_rename'])
  const refused = { code: 'MIGRATION_INTERRUPTED', message: /start:0003_rename was interrupted/ }
  await t.rejects(migrator.migrate({ to: '0002' }), refused, 'a part of it is wanted')

  const other = await place(t, {
    '0003_rename.ts': migration(
      `m.renameTable('town', 'city')`,
      `m.addColumn('city', 'size', { type: 'integer', default: 1 })`,
    ),
  })
  await t.rejects(createMigrator({ db, directory: other }).migrate(), refused)
  const longer = await place(t, { '0004_more.ts': migration(`m.createTable('more', ${country})`) })
  await t.rejects(createMigrator({ db, directory: longer }).migrate(), refused)
  t.strictSame(await tablesOf(db), ['country'])
  t.equal((await migrator.migrate()).length, 3)
})

onMysql(
  t,
  'a start that is killed is recorded unseen where that is asked for',
  async (t, { db }) => {
    const directory = await place(t)
    await killed(db, directory, 1)
    const migrator = createMigrator({ db, directory })
    t.equal((await migrator.migrate({ fake: true })).length, 3)
    t.strictSame(await migrator.pending(), [])
    t.strictSame(
      (await rowsOf(db)).map(({ name }) => name),
      NAMES,
    )
    t.strictSame(await tablesOf(db), ['country'])
  },
)

onEveryDatabase(t, 'a table that is there already', async (t, { db, driver }) => {
  const directory = await place(t)
  await sql`create table country (n int)`.execute(db)
  const migrator = createMigrator({ db, directory })
  await t.rejects(migrator.migrate(), { code: 'MIGRATION_FAILED', message: /country/ })
  await t.rejects(migrator.migrate(), { code: 'MIGRATION_FAILED' }, 'it is not taken for its own')
  t.strictSame(await tablesOf(db), ['country'], driver.name)
  await sql`drop table country`.execute(db)
  t.strictSame(
    (await migrator.migrate()).map(({ name }) => name),
    NAMES,
  )
})

onMysql(
  t,
  'MariaDB makes all tables in one statement, and tells which failed',
  async (t, { db }) => {
    const directory = await place(t, {
      '0004_more.ts': migration(
        `m.createTable('more', ${country})`,
        `m.createTable('much', ${country})`,
      ),
    })
    const sent: string[] = []
    const listener: KyselyPlugin = {
      transformQuery({ node }) {
        if (RawNode.is(node)) sent.push(node.sqlFragments.join('?'))
        return node
      },
      transformResult: async ({ result }) => result,
    }
    const migrator = createMigrator({ db: db.withPlugin(listener), directory })
    await sql`create table more (n int)`.execute(db)
    await t.rejects(migrator.migrate(), {
      code: 'MIGRATION_FAILED',
      message: /step 3 of 4, .*more/,
    })
    t.match((await migrator.status()).at(-1), { state: 'interrupted', position: 2 })
    t.strictSame(await tablesOf(db), ['city', 'country', 'more'])
    const { rows } = await sql<{ version: string }>`select version() as version`.execute(db)
    const isMariadb = /mariadb/i.test(rows[0]?.version ?? '')
    t.equal(
      sent.some((text) => /^create table `/.test(text)),
      !isMariadb,
    )
    await sql`drop table more`.execute(db)
    t.equal((await migrator.migrate()).length, 4)
    t.strictSame(await tablesOf(db), ['city', 'country', 'more', 'much'])
  },
)
