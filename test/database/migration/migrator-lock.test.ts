import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { hostname } from 'node:os'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createMigrator, type MigrationEvent } from '../../../src/database/migration/migrator.ts'
import { creating, folder, inserting, migration, onEveryDatabase, open } from '../fixture.ts'

const PROCESSES = 4
const child = fileURLToPath(new URL('./migrator-child.ts', import.meta.url))

onEveryDatabase(
  t,
  'applies each migration once, however many processes start',
  async (t, { url, db }) => {
    const directory = folder(t, {
      '0001_run.ts': creating('run'),
      ...Object.fromEntries([2, 3, 4, 5, 6].map((n) => [`000${n}_add.ts`, inserting('run', n)])),
    })
    const children = Array.from({ length: PROCESSES }, () => fork(child, [url, directory]))
    t.teardown(() => {
      for (const process of children) process.kill()
    })
    await Promise.all(children.map((process) => once(process, 'message')))
    const runs = children.map(outcome)
    for (const process of children) process.send('go')

    const outcomes = await Promise.all(runs)
    t.strictSame(
      outcomes.map(({ code }) => code),
      Array(PROCESSES).fill(0),
    )
    const names = ['0001_run', '0002_add', '0003_add', '0004_add', '0005_add', '0006_add']
    t.strictSame(outcomes.flatMap(({ applied }) => applied).sort(), names)
    const rows = await db.selectFrom('run').select('n').orderBy('n').execute()
    t.strictSame(
      rows,
      [2, 3, 4, 5, 6].map((n) => ({ n })),
    )
  },
)

async function outcome(process: ChildProcess): Promise<{ applied: string[]; code: unknown }> {
  const exit = once(process, 'exit')
  const applied = await Promise.race([once(process, 'message'), exit])
  return { applied: [applied[0]].flat() as string[], code: (await exit)[0] }
}

onEveryDatabase(
  t,
  'gives up when another process holds the lock for too long',
  async (t, { driver, url, db }) => {
    const gate = Promise.withResolvers<void>()
    const entered = Promise.withResolvers<void>()
    Object.assign(globalThis, { gate, entered })
    const text = migration('m.runData({ up: () => { entered.resolve(); return gate.promise } })')
    const directory = folder(t, { '0001_waits.ts': text })
    const first = createMigrator({ db, directory }).migrate()
    await entered.promise
    const second = createMigrator({ db: await open(t, url, { acquireTimeout: 50 }), directory })
    const events: MigrationEvent[] = []
    const on = (event: MigrationEvent) => events.push(event)
    const mysql = driver.name === 'mysql'
    const us = `${hostname()}, process ${process.pid}`
    await t.rejects(second.migrate({ lockTimeout: 0, on }), {
      code: 'MIGRATION_LOCKED',
      message: `Another process held the migration lock for 0 s (${mysql ? us : 'another process writes to the file'}); wait for it to end, then run this again`,
    })
    t.match(events, [
      { type: 'wait', holder: mysql ? us : null, since: mysql ? /^\d{4}-.+Z$/ : null },
    ])
    gate.resolve()
    t.match(await first, [{ name: '0001_waits' }])
    t.strictSame(await second.migrate(), [])
  },
)
