import t from 'tap'
import { createMigrator } from '../../src/database/migrator.ts'
import { supportsTransactionalDdl } from '../../src/database/portable.ts'
import { type AnyDatabase, creating, folder, onEveryDatabase, tablesOf } from './fixture.ts'

const files = { '0001_one.ts': creating('one'), '0002_half.ts': creating('a', 'b', 'c') }

onEveryDatabase(t, 'says where a migration failed and what stays of it', async (t, { db }) => {
  const migrator = createMigrator({ db, directory: folder(t, files), lockTimeout: 0 })
  await createTable(db, 'b')
  const whole = supportsTransactionalDdl(db)
  const exists = whole ? 'table "b" already exists' : "Table 'b' already exists"
  const stays = whole
    ? 'Nothing of it stays; mend it and run this again'
    : 'Its first statement stays, because this database commits each at once: take back what they did by hand, mend the migration and run this again'
  await t.rejects(migrator.migrate(), {
    code: 'MIGRATION_FAILED',
    message: `The migration 0002_half failed: statement 2: ${exists}. ${stays}`,
    cause: Error,
  })
  const kept = whole ? ['b', 'one', 'plinth_migration'] : ['a', 'b', 'one', 'plinth_migration']
  t.strictSame(await tablesOf(db), kept)
  t.strictSame(await migrator.pending(), ['0002_half'], 'what came before it is recorded')

  await db.schema.dropTable('b').execute()
  await db.schema.dropTable('a').ifExists().execute()
  t.match(await migrator.migrate(), [{ name: '0002_half' }], 'the lock is free again')
})

onEveryDatabase(t, 'says that the code behind a statement failed', async (t, { db }) => {
  const text = `export const up = async (db, { createTable, types }) => {
    await createTable('a').addColumn('n', types.id).execute()
    await db.insertInto('a').values({ n: 1 }).execute()
    throw new Error('no luck')
  }`
  const migrator = createMigrator({ db, directory: folder(t, { '0001_a.ts': text }) })
  await t.rejects(migrator.migrate(), {
    code: 'MIGRATION_FAILED',
    message: /^The migration 0001_a failed: after statement 2: no luck\. /,
  })
  t.strictSame((await tablesOf(db)).includes('a'), !supportsTransactionalDdl(db))
})

onEveryDatabase(t, 'says that taking back failed', async (t, { db }) => {
  const migrator = createMigrator({ db, directory: folder(t, { '0001_a.ts': creating('a') }) })
  await migrator.migrate()
  await db.schema.dropTable('a').execute()
  await t.rejects(migrator.rollback({ steps: 1 }), {
    code: 'MIGRATION_FAILED',
    message:
      /^The migration 0001_a \(down\) failed: statement 1: .+\. Nothing of it stays; mend it/,
  })
  t.strictSame(await migrator.pending(), [])
})

async function createTable(db: AnyDatabase, name: string): Promise<void> {
  await db.schema.createTable(name).addColumn('n', 'integer').execute()
}
