import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createMigrator, type MigrationEvent } from '../../src/database/migrator.ts'
import { creating, folder, onEveryDatabase, tablesOf } from './fixture.ts'

const two = { '0001_one.ts': creating('one'), '0002_two.ts': creating('two') }

onEveryDatabase(t, 'applies what is pending, in order, and records it', async (t, { db }) => {
  const migrator = createMigrator({ db, directory: folder(t, { ...two, 'README.md': '' }) })
  const pending = { state: 'pending', applied_at: null, duration_ms: null }
  t.strictSame(await migrator.status(), [
    { name: '0001_one', ...pending },
    { name: '0002_two', ...pending },
  ])
  t.strictSame(await migrator.pending(), ['0001_one', '0002_two'])
  t.strictSame(await tablesOf(db), [], 'to ask changes nothing')

  const events: MigrationEvent[] = []
  const results = await migrator.migrate((event) => events.push(event))
  t.match(results, [
    { name: '0001_one', direction: 'up', duration_ms: Number },
    { name: '0002_two', direction: 'up', duration_ms: Number },
  ])
  t.strictSame(
    events.map(({ type, name }) => `${type} ${name}`),
    ['start 0001_one', 'done 0001_one', 'start 0002_two', 'done 0002_two'],
  )
  t.strictSame(await tablesOf(db), ['one', 'plinth_migration', 'two'])
  t.match(await migrator.status(), [
    { name: '0001_one', state: 'applied', applied_at: /^\d{4}-.+Z$/, duration_ms: Number },
    { name: '0002_two', state: 'applied' },
  ])
  t.strictSame(await migrator.pending(), [])
  t.strictSame(await migrator.migrate(), [], 'there is nothing left to do')
})

onEveryDatabase(t, 'applies a migration that comes between applied ones', async (t, { db }) => {
  const directory = folder(t, {
    '0001_one.ts': creating('one'),
    '0003_three.ts': creating('three'),
  })
  const migrator = createMigrator({ db, directory })
  await migrator.migrate()
  writeFileSync(join(directory, '0002_two.ts'), creating('two'))
  t.match(await migrator.migrate(), [{ name: '0002_two' }])
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
    t.strictSame(await tablesOf(db), ['one', 'plinth_migration', 'two'])
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
  t.strictSame(await tablesOf(db), ['one', 'plinth_migration', 'plinth_seed'])
  t.strictSame(await migrator.pending(), ['0002_two', '0003_three'])
  t.match(await migrator.rollback({ steps: 5 }), [{ name: '0001_one' }])
  t.strictSame(await migrator.rollback({ steps: 1 }), [])
})

onEveryDatabase(t, 'takes nothing back where one of them has no down', async (t, { db }) => {
  const directory = folder(t, {
    '0001_a.ts': 'export const up = async () => {}',
    '0002_b.ts': creating('b'),
  })
  const migrator = createMigrator({ db, directory })
  await migrator.migrate()
  await t.rejects(migrator.rollback({ steps: 2 }), {
    code: 'MIGRATION_INVALID',
    message: `The migration ${join(directory, '0001_a.ts')} cannot be used: it exports no function down(db), so it cannot be taken back`,
  })
  t.strictSame(await migrator.pending(), [])
  t.ok((await tablesOf(db)).includes('b'))
})

const invalid: Record<string, { files: Record<string, string>; at: string; problem: string }> = {
  'a file without up': {
    files: { '0002_bad.ts': 'export const down = async () => {}' },
    at: '0002_bad.ts',
    problem: 'it exports no function up(db)',
  },
  'a syntax error': {
    files: { '0002_bad.ts': 'export const up = async (db: unknown) => {\n  await db.(\n}' },
    at: '0002_bad.ts:2',
    problem: 'Expected ident',
  },
  'a file that throws while it loads': {
    files: { '0002_bad.ts': 'export const up = async () => {}\n\nthrow new Error("no luck")' },
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
