import t from 'tap'
import { createMigrator } from '../../src/database/migration/migrator.ts'
import { withTablesOf } from '../../src/database/own-tables.ts'
import { createSeeder } from '../../src/database/seed/seeder.ts'
import { addToOutbox, countOutbox, prepareOutbox } from '../../src/task/outbox.ts'
import { type AnyDatabase, creating, folder, inserting, onEveryDatabase } from './fixture.ts'

const seed = (table: string, n: number) => `
  import { defineSeed } from 'plinth'
  export default defineSeed({ summary: 'x', run: ({ db }) => db.insertInto('${table}').values({ n: ${n} }).execute() })`

const kitTables = async (db: AnyDatabase) =>
  (await db.introspection.getTables())
    .map(({ name }) => name)
    .filter((name) => name.startsWith('plinth_') && name !== 'plinth_migration_lock')
    .sort()

onEveryDatabase(t, 'services that share a database record for themselves', async (t, { db }) => {
  const services = ['billing', 'order-desk'].map((name, i) => {
    const table = name.replace('-', '_')
    const files = {
      '0001_create.ts': creating(table),
      '0002_rows.ts': inserting(table, 1 + i),
      ...(i > 0 && { '0003_more.ts': creating(`${table}_more`) }),
    }
    const own = withTablesOf(db, { name, sharesDatabase: true })
    const migrator = createMigrator({ db: own, directory: folder(t, files, name) })
    const seeds = folder(t, { '01_first.ts': seed(table, 10 + i) }, `${name}-seeds`)
    return { table, own, migrator, seeder: createSeeder({ db: own, migrator, directory: seeds }) }
  })
  for (const { migrator, seeder } of services) {
    t.ok((await migrator.pending()).length > 1)
    await migrator.migrate()
    t.strictSame(await migrator.pending(), [])
    t.strictSame(await migrator.migrate(), [])
    t.match(await seeder.seed(), [{ name: '01_first', skipped: false }])
    t.match(await seeder.seed(), [{ name: '01_first', skipped: true }])
  }
  for (const [i, { table, own }] of services.entries()) {
    const rows = await db.selectFrom(table).select('n').orderBy('n').execute()
    t.strictSame(
      rows.map(({ n }) => n),
      [1 + i, 10 + i],
    )
    await prepareOutbox(own)
    await prepareOutbox(own)
    await addToOutbox(own, [{ id: 'same', kind: 'task', payload: i }])
    t.strictSame(await countOutbox(own), { waiting: 1, failed: 0 })
  }
  const [first, second] = services
  await second?.migrator.rollback({ steps: 3 })
  t.match(
    await first?.migrator.status(),
    [{ state: 'applied' }, { state: 'applied' }],
    'what one takes back the other has',
  )
  t.match(await second?.migrator.status(), [
    { state: 'pending' },
    { state: 'pending' },
    { state: 'pending' },
  ])
  t.match(await first?.seeder.seed(), [{ skipped: true }])
  t.strictSame(await kitTables(db), [
    'plinth_migration_billing',
    'plinth_migration_order_desk',
    'plinth_outbox_billing',
    'plinth_outbox_order_desk',
    'plinth_seed_billing',
    'plinth_seed_order_desk',
  ])
})

onEveryDatabase(t, 'who has a database alone has the usual tables', async (t, { db }) => {
  const own = withTablesOf(db, { name: 'billing' })
  t.equal(own, db)
  await createMigrator({ db: own, directory: folder(t, { '0001_a.ts': creating('a') }) }).migrate()
  t.strictSame(await kitTables(db), ['plinth_migration'])
})
