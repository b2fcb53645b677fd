import t from 'tap'
import { createMigrator, type MigrationEvent } from '../../../src/database/migration/migrator.ts'
import { dialectOf } from '../../../src/database/portable.ts'
import {
  type AnyDatabase,
  creating,
  folder,
  inserting,
  migration,
  onEveryDatabase,
  onMysql,
  tablesOf,
} from '../fixture.ts'

const files = { '0001_one.ts': creating('one'), '0002_half.ts': creating('a', 'b', 'c') }

onEveryDatabase(t, 'says where a migration failed and what stays of it', async (t, { db }) => {
  const migrator = createMigrator({ db, directory: folder(t, files) })
  await createTable(db, 'b')
  const mysql = dialectOf(db) === 'mysql'
  const exists = mysql ? "Table 'b' already exists" : 'table "b" already exists'
  const stays = mysql
    ? 'What came before that stays, because this database commits each statement at once; mend the rest of the migration and run this again: it goes on where it stopped. Or run manage migrate rollback, which takes it back'
    : 'Nothing of it stays; mend it and run this again'
  await t.rejects(migrator.migrate(), {
    code: 'MIGRATION_FAILED',
    message: new RegExp(
      `^The migration 0002_half failed: in step 2 of 3, ${exists} \\(create table .*\\)\\. ${stays}$`,
    ),
    cause: Error,
  })
  t.strictSame(await tablesOf(db), mysql ? ['a', 'b', 'one'] : ['b', 'one'])
  t.strictSame(await migrator.pending(), ['0002_half'], 'what came before it is recorded')
  t.match(await migrator.status(), [{}, { state: mysql ? 'interrupted' : 'pending' }])

  await db.schema.dropTable('b').execute()
  t.match(await migrator.migrate(), [{ name: '0002_half' }], 'it goes on, and the lock is free')
  t.strictSame(await tablesOf(db), ['a', 'b', 'c', 'one'])
})

onEveryDatabase(t, 'goes on with the rest of a migration that was mended', async (t, { db }) => {
  const before = createMigrator({ db, directory: folder(t, files) })
  await createTable(db, 'b')
  await t.rejects(before.migrate(), { code: 'MIGRATION_FAILED' })
  const directory = folder(t, { ...files, '0002_half.ts': creating('a', 'c') }, 'mended')
  const migrator = createMigrator({ db, directory })
  const events: MigrationEvent[] = []
  await migrator.migrate({ on: (event) => events.push(event) })
  t.match(
    events[0],
    dialectOf(db) === 'mysql' ? { type: 'resume', position: 1 } : { type: 'start' },
  )
  t.strictSame(await tablesOf(db), ['a', 'b', 'c', 'one'])
  t.strictSame(await migrator.pending(), [])
})

// On SQLite there is no half of a migration.
onMysql(t, 'does nothing else before a half migration is ended', async (t, { db }) => {
  const migrator = createMigrator({ db, directory: folder(t, files) })
  await createTable(db, 'b')
  await t.rejects(migrator.migrate(), { code: 'MIGRATION_FAILED' })
  const directory = folder(t, { ...files, '0002_half.ts': creating('x', 'b', 'c') }, 'other')
  await t.rejects(createMigrator({ db, directory }).migrate(), {
    code: 'MIGRATION_INTERRUPTED',
    message: /\n {2}\[x\] create table `x`(.|\n)*Its file has other statements in their place now/,
  })
  await t.rejects(migrator.migrate({ to: '0001' }), {
    code: 'MIGRATION_INTERRUPTED',
    message:
      'The migration 0002_half was interrupted. It has to be ended before anything else, with its file in migrations/: run manage migrate to finish it, or manage migrate rollback to take it back. Where neither is possible, end it by hand and say so: manage migrate --fake (all of it has happened), or manage migrate rollback --fake (nothing of it has)',
  })
  t.strictSame(await tablesOf(db), ['a', 'b', 'one'])
  t.match(await migrator.rollback({ steps: 1 }), [{ name: '0002_half', direction: 'down' }])
  t.strictSame(await tablesOf(db), ['b', 'one'])
  t.strictSame(await migrator.pending(), ['0002_half'])
})

onMysql(t, 'finishes a half migration before a file that came later', async (t, { db }) => {
  const half = { '0001_one.ts': creating('one'), '0003_half.ts': creating('a', 'b', 'c') }
  await createTable(db, 'b')
  const before = createMigrator({ db, directory: folder(t, half) })
  await t.rejects(before.migrate(), { code: 'MIGRATION_FAILED' })
  await db.schema.dropTable('b').execute()
  const directory = folder(t, { ...half, '0002_late.ts': creating('late') }, 'merged')
  const migrator = createMigrator({ db, directory })
  await t.rejects(migrator.migrate(), {
    code: 'MIGRATION_OUT_OF_ORDER',
    message: /^The migration 0002_late comes before 0003_half, which is applied already/,
  })
  t.strictSame(await tablesOf(db), ['a', 'b', 'c', 'one'])
  t.match(await migrator.migrate({ allowOutOfOrder: true }), [{ name: '0002_late' }])
})

onEveryDatabase(t, 'takes rows back where the code behind them fails', async (t, { db }) => {
  const text = migration(`m.runData({ up: async (db) => {
    await db.insertInto('a').values({ n: 1 }).execute()
    throw new Error('no luck')
  } })`)
  const files = { '0001_a.ts': creating('a'), '0002_rows.ts': text }
  const migrator = createMigrator({ db, directory: folder(t, files) })
  await t.rejects(migrator.migrate(), {
    code: 'MIGRATION_FAILED',
    message:
      'The migration 0002_rows failed: in step 1 of 1, no luck (-- code: up changes rows). Nothing of it stays; mend it and run this again',
  })
  t.strictSame(await db.selectFrom('a').selectAll().execute(), [])
  const directory = folder(t, { ...files, '0002_rows.ts': inserting('a', 7) }, 'mended')
  await createMigrator({ db, directory }).migrate()
  t.strictSame(await db.selectFrom('a').selectAll().execute(), [{ n: 7 }])
})

for (const change of [
  `db.schema.createTable('b').addColumn('n', 'integer').execute()`,
  `sql.raw('  DROP table a').execute(db)`,
  `sql.raw('-- no harm\\n/* none */ drop table a').execute(db)`,
  `sql\`\${sql.raw('/* none */ drop')} \${sql.raw('table a')}\`.execute(db)`,
  `sql.raw('analyze table a').execute(db)`,
  `sql.raw('set session autocommit = 1').execute(db)`,
  `sql.raw('/*!drop table a*/').execute(db)`,
]) {
  onEveryDatabase(t, `refuses code that changes the schema: ${change}`, async (t, { db }) => {
    const text = migration(`m.runData({ up: (db) => ${change} })`)
    const directory = folder(t, {
      '0001_a.ts': creating('a'),
      '0002_b.ts': `import { sql } from 'kysely'\n${text}`,
    })
    await t.rejects(createMigrator({ db, directory }).migrate(), {
      code: 'MIGRATION_FAILED',
      message: /runData changes rows only, in one transaction; change the schema with/,
    })
    t.strictSame(await tablesOf(db), ['a'])
  })
}

onEveryDatabase(t, 'says that taking back failed', async (t, { db }) => {
  const migrator = createMigrator({ db, directory: folder(t, { '0001_a.ts': creating('a') }) })
  await migrator.migrate()
  await db.schema.dropTable('a').execute()
  await t.rejects(migrator.rollback({ steps: 1 }), {
    code: 'MIGRATION_FAILED',
    message: /^The migration 0001_a \(down\) failed: in step 1 of 1, .+ Nothing of it stays; mend/,
  })
  t.strictSame(await migrator.status().then(([one]) => one?.applied_at !== null), true)
})

async function createTable(db: AnyDatabase, name: string): Promise<void> {
  await db.schema.createTable(name).addColumn('n', 'integer').execute()
}
