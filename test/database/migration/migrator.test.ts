import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createMigrator, type MigrationEvent } from '../../../src/database/migration/migrator.ts'
import { dialectOf } from '../../../src/database/portable.ts'
import { creating, folder, inserting, migration, onEveryDatabase, tablesOf } from '../fixture.ts'

const two = { '0001_one.ts': creating('one'), '0002_two.ts': creating('two') }

onEveryDatabase(t, 'applies what is pending, in order, and records it', async (t, { db }) => {
  const migrator = createMigrator({ db, directory: folder(t, { ...two, 'README.md': '' }) })
  const pending = {
    state: 'pending',
    applied_at: null,
    duration_ms: null,
    direction: null,
    position: null,
    remedy: null,
  }
  t.strictSame(await migrator.status(), [
    { name: '0001_one', ...pending },
    { name: '0002_two', ...pending },
  ])
  t.strictSame(await migrator.pending(), ['0001_one', '0002_two'])
  t.strictSame(await tablesOf(db), [], 'to ask changes nothing')

  const events: MigrationEvent[] = []
  const results = await migrator.migrate({ on: (event) => events.push(event) })
  t.match(results, [
    { name: '0001_one', direction: 'up', duration_ms: Number },
    { name: '0002_two', direction: 'up', duration_ms: Number },
  ])
  t.strictSame(
    events.map((event) => `${event.type} ${'name' in event && event.name}`),
    EVENTS[dialectOf(db)],
  )
  t.strictSame(await tablesOf(db), ['one', 'two'])
  t.match(await migrator.status(), [
    { name: '0001_one', state: 'applied', applied_at: /^\d{4}-.+Z$/, duration_ms: Number },
    { name: '0002_two', state: 'applied' },
  ])
  t.strictSame(await migrator.pending(), [])
  t.strictSame(await migrator.migrate(), [], 'there is nothing left to do')
})

// A record is written together with the first entry of what follows in the journal.
const EVENTS = {
  sqlite: ['start 0001_one', 'done 0001_one', 'start 0002_two', 'done 0002_two'],
  mysql: ['start 0001_one', 'start 0002_two', 'done 0001_one', 'done 0002_two'],
}

onEveryDatabase(t, 'refuses one that comes before an applied one', async (t, { db }) => {
  const directory = folder(t, {
    '0001_one.ts': creating('one'),
    '0003_three.ts': creating('three'),
  })
  const migrator = createMigrator({ db, directory })
  await migrator.migrate()
  writeFileSync(join(directory, '0002_two.ts'), creating('two'))
  await t.rejects(migrator.migrate(), {
    code: 'MIGRATION_OUT_OF_ORDER',
    message:
      'The migration 0002_two comes before 0003_three, which is applied already: give it the next free number, or run manage migrate --allow-out-of-order',
  })
  t.match(await migrator.migrate({ allowOutOfOrder: true }), [{ name: '0002_two' }])
  t.strictSame(await tablesOf(db), ['one', 'three', 'two'])
})

onEveryDatabase(t, 'refuses a file that was changed after it was applied', async (t, { db }) => {
  const directory = folder(t, two)
  const migrator = createMigrator({ db, directory })
  await migrator.migrate()
  writeFileSync(join(directory, '0001_one.ts'), `${two['0001_one.ts']}// another comment`)
  writeFileSync(join(directory, '0003_three.ts'), creating('three'))
  t.match(await migrator.status(), [{ state: 'changed' }, { state: 'applied' }, {}])
  const refused = {
    code: 'MIGRATION_CHANGED',
    message: `The migration ${join(directory, '0001_one.ts')} has been changed since it was applied: restore it, and write a new one for the change; where only its form is another, run manage migrate --accept-changed 0001_one`,
  }
  await t.rejects(migrator.migrate(), refused)
  await t.rejects(migrator.plan(), refused)
  await t.rejects(migrator.rollback({ steps: 2 }), refused)
  t.strictSame(await tablesOf(db), ['one', 'two'])
  t.match(await migrator.migrate({ acceptChanged: ['0001_one'] }), [{ name: '0003_three' }])
  await t.rejects(migrator.migrate({ acceptChanged: ['0009_no'] }), {
    code: 'MIGRATION_UNKNOWN',
    message: 'There is no migration 0009_no; there are: 0001_one, 0002_two, 0003_three',
  })
})

onEveryDatabase(t, 'takes a file for the same whatever its line ends are', async (t, { db }) => {
  const directory = folder(t, two)
  const migrator = createMigrator({ db, directory })
  await migrator.migrate()
  writeFileSync(join(directory, '0001_one.ts'), creating('one').replaceAll('\n', '\r\n'))
  t.match(await migrator.status(), [{ state: 'applied' }, { state: 'applied' }])
})

onEveryDatabase(t, 'refuses a database that is newer than the code', async (t, { db }) => {
  const directory = folder(t, two)
  const migrator = createMigrator({ db, directory })
  await migrator.migrate()
  rmSync(join(directory, '0002_two.ts'))
  await t.rejects(migrator.migrate(), {
    code: 'DATABASE_NEWER',
    message:
      'The database has migrations that this release does not know: 0002_two; deploy a release that has them, or take them back with it first',
  })
})

onEveryDatabase(t, 'applies up to one, by name or number', async (t, { db }) => {
  const directory = folder(t, { ...two, '0003_three.ts': creating('three') })
  const migrator = createMigrator({ db, directory })
  t.match(await migrator.migrate({ to: '0001' }), [{ name: '0001_one' }])
  t.match(await migrator.migrate({ to: '0002_two' }), [{ name: '0002_two' }])
  await t.rejects(migrator.migrate({ to: 'two' }), { code: 'MIGRATION_UNKNOWN' })
  t.strictSame(await tablesOf(db), ['one', 'two'])
})

onEveryDatabase(t, 'records migrations that it does not run', async (t, { db }) => {
  const migrator = createMigrator({ db, directory: folder(t, two) })
  t.match(await migrator.migrate({ fake: true, to: '0001' }), [{ name: '0001_one' }])
  t.strictSame(await tablesOf(db), [])
  t.strictSame(await migrator.pending(), ['0002_two'])
})

onEveryDatabase(t, 'tells the SQL of what is pending and changes nothing', async (t, { db }) => {
  const files = { ...two, '0003_rows.ts': inserting('one', 1) }
  const migrator = createMigrator({ db, directory: folder(t, files) })
  t.match(await migrator.plan(), [
    { name: '0001_one', statements: [/^create table .one. /] },
    { name: '0002_two', statements: [/^create table .two. /] },
    { name: '0003_rows', statements: ['-- code: up changes rows'] },
  ])
  t.strictSame(await db.introspection.getTables(), [])
})

onEveryDatabase(t, 'runs code in one transaction, and takes it back', async (t, { db }) => {
  const rows = inserting('one', 1, 2)
  const migrator = createMigrator({
    db,
    directory: folder(t, { '0001_one.ts': creating('one'), '0002_rows.ts': rows }),
  })
  await migrator.migrate()
  t.strictSame(await db.selectFrom('one').select('n').orderBy('n').execute(), [{ n: 1 }, { n: 2 }])
  await migrator.rollback({ steps: 1 })
  t.strictSame(await db.selectFrom('one').selectAll().execute(), [])
})

onEveryDatabase(t, 'has nothing to do where there is no folder', async (t, { db }) => {
  const migrator = createMigrator({ db, directory: join(folder(t, {}), 'nowhere') })
  t.strictSame(await migrator.status(), [])
  t.strictSame(await migrator.migrate(), [])
})

onEveryDatabase(
  t,
  'shows an applied migration without its file and goes no further',
  async (t, { db }) => {
    const directory = folder(t, two)
    const migrator = createMigrator({ db, directory })
    await migrator.migrate()
    rmSync(join(directory, '0002_two.ts'))
    writeFileSync(join(directory, '0003_three.ts'), creating('three'))
    t.match(await migrator.status(), [
      { name: '0001_one', state: 'applied' },
      { name: '0002_two', state: 'missing', applied_at: String },
      { name: '0003_three', state: 'pending' },
    ])
    const refused = {
      code: 'MIGRATION_INVALID',
      message: `The migration ${join(directory, '0002_two.ts')} cannot be used: it is applied, but its file is gone; restore the file, or delete its row in plinth_migration`,
    }
    await t.rejects(migrator.migrate(), refused)
    await t.rejects(migrator.rollback({ steps: 1 }), refused)
    t.strictSame(await tablesOf(db), ['one', 'two'])
  },
)

onEveryDatabase(t, 'takes back the last migrations, the newest first', async (t, { db }) => {
  const directory = folder(t, { ...two, '0003_three.ts': creating('three') })
  const migrator = createMigrator({ db, directory })
  await migrator.migrate()
  const results = await migrator.rollback({ steps: 2 })
  t.strictSame(
    results.map(({ name, direction }) => `${direction} ${name}`),
    ['down 0003_three', 'down 0002_two'],
  )
  t.strictSame(await tablesOf(db), ['one'])
  t.strictSame(await migrator.pending(), ['0002_two', '0003_three'])
  t.match(await migrator.rollback({ steps: 5 }), [{ name: '0001_one' }])
  t.strictSame(await migrator.rollback({ steps: 1 }), [])
})

onEveryDatabase(t, 'takes nothing back where one of them has no down', async (t, { db }) => {
  const directory = folder(t, {
    '0001_a.ts': migration('m.runData({ up: async () => {} })'),
    '0002_b.ts': creating('b'),
  })
  const migrator = createMigrator({ db, directory })
  await migrator.migrate()
  await t.rejects(migrator.rollback({ steps: 2 }), {
    code: 'MIGRATION_INVALID',
    message: `The migration ${join(directory, '0001_a.ts')} cannot be used: it has a step without a way back (down)`,
  })
  t.strictSame(await migrator.pending(), [])
  t.ok((await tablesOf(db)).includes('b'))
})

const invalid: Record<string, { files: Record<string, string>; at: string; problem: string }> = {
  'a file that exports no migration': {
    files: { '0002_bad.ts': 'export const down = async () => {}' },
    at: '0002_bad.ts',
    problem: "it has no default export made by defineMigration([…]) of 'plinth/migration'",
  },
  'something that is no operation': {
    files: { '0002_bad.ts': migration(`m.createTable('a', { columns: {}, primaryKey: [] })`, '7') },
    at: '0002_bad.ts',
    problem: 'what stands at place 2 is no operation',
  },
  'an operation that does not fit': {
    files: { '0002_bad.ts': migration(`m.addColumn('nowhere', 'n', { type: 'integer' })`) },
    at: '0002_bad.ts',
    problem: 'operation 1 (addColumn): there is no table nowhere',
  },
  'a syntax error': {
    files: { '0002_bad.ts': 'export default [\n  db.(\n]' },
    at: '0002_bad.ts:2',
    problem: 'Expected ident',
  },
  'a file that throws while it loads': {
    files: { '0002_bad.ts': 'export default []\n\nthrow new Error("no luck")' },
    at: '0002_bad.ts:3',
    problem: 'no luck',
  },
  'two files with one number': {
    files: { '0002_a.ts': creating('a'), '0002_b.ts': creating('b') },
    at: '0002_b.ts',
    problem: 'it has the same number as 0002_a.ts',
  },
  'a module without a number': {
    files: { 'city.ts': creating('city') },
    at: 'city.ts',
    problem: 'it should be called 0001_name.ts',
  },
}

for (const [what, { files, at, problem }] of Object.entries(invalid)) {
  onEveryDatabase(t, `refuses ${what} before it applies anything`, async (t, { db }) => {
    const directory = folder(t, { '0001_good.ts': creating('good'), ...files })
    await t.rejects(createMigrator({ db, directory }).migrate(), {
      code: 'MIGRATION_INVALID',
      message: `The migration ${join(directory, at)} cannot be used: ${problem}`,
    })
    t.notOk((await tablesOf(db)).includes('good'))
  })
}
