import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mock } from 'node:test'
import { fileURLToPath } from 'node:url'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { createMigrator, type MigrationEvent } from '../../../src/database/migration/migrator.ts'
import { prepareRecords } from '../../../src/database/migration/recorder.ts'
import { databaseDrivers } from '../../helpers/drivers.ts'
import { poll } from '../../helpers/network.ts'
import { type AnyDatabase, creating, folder, inserting, migration, open } from '../fixture.ts'

const driver = databaseDrivers.find(({ name }) => name === 'mysql')
const child = fileURLToPath(new URL('./migrator-child.ts', import.meta.url))
const one = { '0001_one.ts': creating('one') }

interface Place {
  db: AnyDatabase
  url: string
}

function onMysql(name: string, test: (t: Test, place: Place) => Promise<void>): void {
  t.test(name, async (t) => {
    if (!driver) throw new Error('there is no MySQL')
    const url = await driver.url(t)
    await test(t, { url, db: await open(t, url) })
  })
}

/** Writes that another process holds the lease, until so many seconds from now. */
async function hold(db: AnyDatabase, seconds: number): Promise<void> {
  await prepareRecords(db as unknown as Parameters<typeof prepareRecords>[0])
  await sql`insert into plinth_migration_lock values
    (1, 'another', '2026-01-02 03:04:05', utc_timestamp(3) + interval ${seconds} second)`.execute(
    db,
  )
}

async function lease(db: AnyDatabase) {
  const { rows } = await sql<{ holder: string | null; left: number | null }>`
    select holder, timestampdiff(microsecond, utc_timestamp(3), expires_at) as \`left\`
    from plinth_migration_lock`.execute(db)
  return rows[0]
}

onMysql('two processes apply each migration once', async (t, { url, db }) => {
  const files = { ...one, '0002_two.ts': inserting('one', 2), '0003_three.ts': inserting('one', 3) }
  const directory = folder(t, files)
  const children = [1, 2].map(() => fork(child, [url, directory, 'lease']))
  t.teardown(() => {
    for (const process of children) process.kill()
  })
  await Promise.all(children.map((process) => once(process, 'message')))
  const ended = children.map(async (process) => {
    const exit = once(process, 'exit')
    const [applied] = await Promise.race([once(process, 'message'), exit])
    return { applied, code: (await exit)[0] }
  })
  for (const process of children) process.send('go')
  const outcomes = await Promise.all(ended)
  t.strictSame(
    outcomes.map(({ code }) => code),
    [0, 0],
  )
  t.strictSame(outcomes.flatMap(({ applied }) => applied).sort(), [
    '0001_one',
    '0002_two',
    '0003_three',
  ])
  t.strictSame(await db.selectFrom('one').selectAll().orderBy('n').execute(), [{ n: 2 }, { n: 3 }])
  t.match(await lease(db), { left: null }, 'it is given back')
})

onMysql('waits for who holds it', async (t, { db }) => {
  await hold(db, 600)
  const migrator = createMigrator({ db, directory: folder(t, one) })
  const events: MigrationEvent[] = []
  const on = (event: MigrationEvent) => events.push(event)
  await t.rejects(migrator.migrate({ lock: 'lease', lockTimeout: 0, on }), {
    code: 'MIGRATION_LOCKED',
    message:
      'Another process held the migration lock for 0 s (another); wait for it to end, then run this again',
  })
  t.strictSame(events, [{ type: 'wait', holder: 'another', since: '2026-01-02T03:04:05.000Z' }])
  t.strictSame(await migrator.pending(), ['0001_one'])
  t.match(await lease(db), { holder: 'another' })
})

onMysql('takes it from a process that has died', async (t, { db }) => {
  await hold(db, -1)
  const migrator = createMigrator({ db, directory: folder(t, one) })
  t.match(await migrator.migrate({ lock: 'lease', lockTimeout: 0 }), [{ name: '0001_one' }])
})

/** A migrator that stands still in its first migration, holding the lease, until `go` is called. */
async function standing(t: Test, { url }: Place) {
  const gate = Promise.withResolvers<void>()
  const entered = Promise.withResolvers<void>()
  Object.assign(globalThis, { gate, entered })
  const stands = migration('m.runData({ up: () => { entered.resolve(); return gate.promise } })')
  const directory = folder(t, { '0001_stands.ts': stands, '0002_one.ts': creating('one') })
  const db = await open(t, url)
  const ended = createMigrator({ db, directory }).migrate({ lock: 'lease' })
  // Looked at later.
  ended.catch(() => {})
  await entered.promise
  return { ended, go: gate.resolve }
}

onMysql('renews it while it works', async (t, place) => {
  const { db } = place
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const { ended, go } = await standing(t, place)
  await sql`update plinth_migration_lock set expires_at = utc_timestamp(3)`.execute(db)
  mock.timers.tick(3000)
  t.ok(await poll(async () => ((await lease(db))?.left ?? 0) > 10_000_000))
  go()
  t.match(await ended, [{ name: '0001_stands' }, { name: '0002_one' }])
})

onMysql('goes no further where it could not be renewed', async (t, place) => {
  const { db } = place
  const { ended, go } = await standing(t, place)
  await sql`update plinth_migration_lock set holder = 'another'`.execute(db)
  const late = performance.now() + 14_000
  t.intercept(performance, 'now', { value: () => late })
  go()
  await t.rejects(ended, { code: 'MIGRATION_LEASE_LOST' })
  t.match(await lease(db), { holder: 'another', left: Number }, "what is another's stays")
  const tables = await db.introspection.getTables()
  t.notOk(tables.some(({ name }) => name === 'one'))
})
