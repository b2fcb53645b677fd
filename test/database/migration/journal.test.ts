import t, { type Test } from 'tap'
import { type Entry, writeJournal } from '../../../src/database/migration/journal.ts'
import { createMigrator, type Migrator } from '../../../src/database/migration/migrator.ts'
import { databaseDrivers } from '../../helpers/drivers.ts'
import { type AnyDatabase, creating, folder, migration, open, tablesOf } from '../fixture.ts'

// A journal is for MySQL alone: elsewhere a migration is one transaction.
const driver = databaseDrivers.find(({ name }) => name === 'mysql')

interface Place {
  db: AnyDatabase
  /** The migrator of `0001_one`, which is applied, and a second migration. */
  migratorOf(second: string, folderName?: string): Promise<Migrator>
}

function onMysql(name: string, test: (t: Test, place: Place) => Promise<void>): void {
  t.test(name, async (t) => {
    if (!driver) throw new Error('there is no MySQL')
    const db = await open(t, await driver.url(t))
    const migratorOf: Place['migratorOf'] = async (second, folderName) => {
      const files = { '0001_one.ts': creating('one'), '0002_two.ts': second }
      const migrator = createMigrator({ db, directory: folder(t, files, folderName) })
      const pending = await migrator.pending()
      if (pending.includes('0001_one')) await migrator.migrate({ to: '0001' })
      return migrator
    }
    await test(t, { db, migratorOf })
  })
}

/** Leaves what a process leaves that is killed while the statement behind `position` others is under way. */
async function killed(
  db: AnyDatabase,
  statements: readonly string[],
  position: number,
  direction: Entry['direction'] = 'up',
  name = '0002_two',
): Promise<void> {
  const steps = statements.map((sql) => ({ sql }))
  const task = { name, checksum: '', direction, steps, ends: steps.map((_, i) => i + 1) }
  await writeJournal(db as unknown as Parameters<typeof writeJournal>[0], task, position, 'begun')
}

const insert = (n: number) => `insert into one values (${n})`
const remove = (n: number) => `delete from one where n = ${n}`
const inserts = migration(
  `m.runSql({ up: ['${insert(1)}', '${insert(2)}'], down: ['${remove(2)}', '${remove(1)}'] })`,
)

async function numbers(db: AnyDatabase): Promise<unknown[]> {
  const rows = await db.selectFrom('one').select('n').orderBy('n').execute()
  return rows.map(({ n }) => n)
}

onMysql('asks about a statement of which nobody knows whether it happened', async (t, place) => {
  const { db, migratorOf } = place
  const migrator = await migratorOf(inserts)
  await killed(db, [insert(1), insert(2)], 0)
  t.match(await migrator.status(), [{ state: 'applied' }, { state: 'interrupted' }])
  const refused = {
    code: 'MIGRATION_INTERRUPTED',
    message: `The migration 0002_two was interrupted. \n  [?] ${insert(1)}\n  [ ] ${insert(2)}\nLook whether the one marked ? has happened, then run manage migrate --resume (it has not: run it) or --mark-applied (it has: go on behind it)`,
  }
  await t.rejects(migrator.migrate(), refused)
  await t.rejects(migrator.migrate(), refused, 'asking changes nothing')
  t.strictSame(await numbers(db), [])
  t.match(await migrator.migrate({ settlement: 'done' }), [{ name: '0002_two' }])
  t.strictSame(await numbers(db), [2])
  t.strictSame(await migrator.pending(), [])
})

onMysql('runs it again where it has not happened', async (t, { db, migratorOf }) => {
  const migrator = await migratorOf(inserts)
  await killed(db, [insert(1), insert(2)], 1)
  await t.rejects(migrator.migrate(), { message: /\n {2}\[x\] .+\(1\)\n {2}\[\?\] .+\(2\)\n/ })
  await migrator.migrate({ settlement: 'again' })
  t.strictSame(await numbers(db), [2], 'the first counts as done')
})

onMysql('asks on the way back, too', async (t, { db, migratorOf }) => {
  const migrator = await migratorOf(inserts)
  await migrator.migrate()
  await killed(db, [remove(2), remove(1)], 1, 'down')
  await t.rejects(migrator.rollback({ steps: 1 }), {
    code: 'MIGRATION_INTERRUPTED',
    message:
      /^The migration 0002_two \(down\) was .+\n {2}\[x\].+\n {2}\[\?\].+\nLook .+ manage migrate rollback --resume/,
  })
  await t.rejects(migrator.migrate(), {
    code: 'MIGRATION_INTERRUPTED',
    message:
      /^The migration 0002_two \(down\) was .+\n {2}\[x\].+\n {2}\[\?\].+\n.+ manage migrate --resume \(all of it is run again\) or --mark-applied \(all of it is applied\)$/,
  })
  await migrator.rollback({ steps: 1, settlement: 'again' })
  t.strictSame(await numbers(db), [2])
  t.strictSame(await migrator.pending(), ['0002_two'])
})

for (const happened of [true, false]) {
  onMysql(`finds out itself about an operation, happened: ${happened}`, async (t, place) => {
    const { db, migratorOf } = place
    const migrator = await migratorOf(creating('a', 'b', 'c'))
    const [second] = await migrator.plan()
    await db.schema.createTable('a').addColumn('n', 'integer').execute()
    if (happened) await db.schema.createTable('b').addColumn('n', 'integer').execute()
    await killed(db, second?.statements ?? [], 1)
    t.match(await migrator.migrate(), [{ name: '0002_two' }])
    t.strictSame(await tablesOf(db), ['a', 'b', 'c', 'one'])
  })
}

onMysql('refuses a file whose statement in doubt was changed', async (t, { db, migratorOf }) => {
  const [second] = await (await migratorOf(creating('a', 'b'))).plan()
  await killed(db, second?.statements ?? [], 1)
  const changed = await migratorOf(creating('a', 'x'), 'changed')
  await t.rejects(changed.migrate(), {
    code: 'MIGRATION_INTERRUPTED',
    message: /\n {2}\[\?\] create table `x`(.|\n)*other statements in their place now; restore it$/,
  })
  t.strictSame(await tablesOf(db), ['one'])
})

onMysql('knows what happened before code that fails', async (t, { db, migratorOf }) => {
  const sql = `m.runSql({ up: '${insert(1)}' })`
  const unlucky = `m.runData({ up: async () => { throw new Error('no luck') } })`
  const migrator = await migratorOf(migration(sql, unlucky))
  await t.rejects(migrator.migrate(), { code: 'MIGRATION_FAILED', message: /no luck/ })
  const more = `m.runData({ up: (db) => db.insertInto('one').values({ n: 2 }).execute() })`
  const mended = await migratorOf(migration(sql, more), 'mended')
  t.match(await mended.migrate(), [{ name: '0002_two' }])
  t.strictSame(await numbers(db), [1, 2])
})

onMysql('goes back where nothing has happened of what failed', async (t, { db, migratorOf }) => {
  const migrator = await migratorOf(migration(`m.runSql({ up: 'insert into nowhere values (1)' })`))
  await t.rejects(migrator.migrate(), { message: /Nothing of it stays; mend it/ })
  t.match(await migrator.status(), [{ state: 'applied' }, { state: 'pending' }])
  t.match(await migrator.rollback({ steps: 1 }), [{ name: '0001_one' }])
  t.strictSame(await tablesOf(db), [])
})

onMysql('keeps apart what failed at once and what was interrupted', async (t, place) => {
  const { db, migratorOf } = place
  const broken = await migratorOf(migration(`m.runSql({ up: 'insert into nowhere values (1)' })`))
  await t.rejects(broken.migrate(), { code: 'MIGRATION_FAILED' })
  const files = { '0001_one.ts': creating('one'), '0003_three.ts': inserts }
  const migrator = createMigrator({ db, directory: folder(t, files, 'other') })
  await killed(db, [insert(1)], 0, 'up', '0003_three')
  t.match(await migrator.status(), [{ state: 'applied' }, { state: 'interrupted' }])
  await t.rejects(migrator.migrate(), { message: /^The migration 0003_three was interrupted/ })
  await migrator.migrate({ settlement: 'done' })
  t.strictSame(await numbers(db), [2])
})

onMysql('says that the connection was lost, and knows where', async (t, { db, migratorOf }) => {
  const lost = `m.runSql({ up: ['${insert(1)}', 'kill connection_id()', '${insert(3)}'] })`
  const migrator = await migratorOf(migration(lost))
  await t.rejects(migrator.migrate(), {
    code: 'MIGRATION_FAILED',
    message: /^The migration 0002_two failed: in step 2 of 3, .+ \(kill connection_id\(\)\)\. /,
  })
  await t.rejects(migrator.migrate(), { message: /\n {2}\[x\] insert .+\n {2}\[\?\] kill / })
  await migrator.migrate({ settlement: 'done' })
  t.strictSame(await numbers(db), [1, 3])
})
