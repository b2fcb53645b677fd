import t from 'tap'
import { readSchema } from '../../../src/database/inspect/differences.ts'
import { createMigrator } from '../../../src/database/migration/migrator.ts'
import { type AnyDatabase, folder, migration, onEveryDatabase } from '../fixture.ts'

const table = (name: string) =>
  `m.createTable('${name}', { columns: { id: { type: 'integer' }, n: { type: 'integer' } }, primaryKey: ['id'],
    indexes: [{ name: 'idx_n', columns: ['n'] }] })`
const files = {
  '0001_tables.ts': migration(table('a'), table('b')),
  '0002_unique.ts': migration(
    `m.addUnique('a', { name: 'both', columns: ['n', 'id'] })`,
    `m.addUnique('b', { name: 'both', columns: ['n', 'id'] })`,
  ),
  '0003_rebuilt.ts': migration(
    `m.renameTable('b', 'c')`,
    `m.alterColumn('c', 'n', { from: { type: 'integer' }, to: { type: 'bigint' } })`,
  ),
  '0004_dropped.ts': migration(
    `m.dropIndex('c', { name: 'idx_n', columns: ['n'] })`,
    `m.dropUnique('a', { name: 'both', columns: ['n', 'id'] })`,
  ),
}

/** The columns that each table has indexes on. */
async function indexed(db: AnyDatabase): Promise<unknown> {
  const { schema } = await readSchema(db)
  const tables = Object.entries(schema).map(([name, { indexes = [], unique = [] }]) => [
    name,
    [...indexes, ...unique].map(({ columns }) => columns.join()).sort(),
  ])
  return Object.fromEntries(tables)
}

onEveryDatabase(t, 'indexes of two tables may have one name', async (t, { db }) => {
  const migrator = createMigrator({ db, directory: folder(t, files) })
  await migrator.migrate({ to: '0001' })
  t.strictSame(await indexed(db), { a: ['n'], b: ['n'] })
  await migrator.migrate({ to: '0003' })
  const all = { a: ['n', 'n,id'], c: ['n', 'n,id'] }
  t.strictSame(await indexed(db), all)
  await migrator.migrate()
  t.strictSame(await indexed(db), { a: ['n'], c: ['n,id'] })
  await migrator.rollback({ steps: 1 })
  t.strictSame(await indexed(db), all)
  await migrator.rollback({ steps: 3 })
  t.strictSame(await indexed(db), {})
})
