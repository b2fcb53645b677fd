import t, { type Test } from 'tap'
import { writeJournal } from '../../src/database/migration/journal.ts'
import { migration, open, tablesOf } from '../database/fixture.ts'
import { execute } from '../servers/mysql.ts'
import { creating, onMysql, type Shop } from './database-service.ts'

const files = {
  'migrations/0001_item.ts': creating('item'),
  'migrations/0002_rows.ts': migration(
    `m.runSql({ up: ['insert into item values (1)', 'insert into item values (2)'], down: 'delete from item' })`,
  ),
}

/** Leaves what a process leaves that is killed in the first of these statements. */
async function killed(
  t: Test,
  { url }: Shop,
  name: string,
  statements: readonly string[],
  direction: 'up' | 'down' = 'up',
) {
  const steps = statements.map((sql) => ({ sql }))
  const db = await open(t, url)
  const tables = db as unknown as Parameters<typeof writeJournal>[0]
  await writeJournal(
    tables,
    { name, checksum: '', direction, steps, ends: steps.map((_, i) => i + 1) },
    0,
    'begun',
  )
  return db
}

for (const [flag, rows] of [
  ['--mark-applied', [{ n: 2 }]],
  ['--resume', [{ n: 1 }, { n: 2 }]],
] as const) {
  onMysql(t, `stops at a statement in doubt; ${flag} goes on`, files, async (t, shop) => {
    const { migrate, run } = shop
    await migrate({ to: '0001' })
    const db = await killed(t, shop, '0002_rows', ['insert into item values (1)'])
    t.match(await run('migrate', 'status'), {
      code: 0,
      stdout: /^applied {6}0001_item .*\ninterrupted {2}0002_rows\n$/,
      stderr:
        '0002_rows is being applied, or that was interrupted; 0 of its statements have happened for sure. If no process is at it, run manage migrate to finish it, or manage migrate rollback to take it back\n',
    })
    t.match(await run('migrate'), {
      code: 1,
      stdout: '',
      stderr: `error MIGRATION_INTERRUPTED: The migration 0002_rows was interrupted. 
  [?] insert into item values (1)
  [ ] insert into item values (2)
Look whether the one marked ? has happened, then run manage migrate --resume (it has not: run it) or --mark-applied (it has: go on behind it)\n`,
    })
    t.match(await run('seed'), { code: 1, stderr: /^error MIGRATION_PENDING: .* 0002_rows;/ })
    t.match(await run('migrate', flag), { code: 0, stdout: /^applied 0002_rows/ })
    t.strictSame(await db.selectFrom('item').selectAll().orderBy('n').execute(), rows)
  })
}

onMysql(t, 'a rollback goes on, too', files, async (t, shop) => {
  const { migrate, run } = shop
  await migrate()
  const db = await killed(t, shop, '0002_rows', ['delete from item'], 'down')
  t.match(await run('migrate', 'rollback'), {
    code: 1,
    stderr: /^error MIGRATION_INTERRUPTED: (.|\n)+ manage migrate rollback --resume /,
  })
  t.match(await run('migrate', 'rollback', '--resume'), {
    code: 0,
    stdout: /^took back 0002_rows/,
  })
  t.strictSame(await db.selectFrom('item').selectAll().execute(), [])
})

for (const happened of [true, false]) {
  onMysql(t, `resumes an operation by itself, happened: ${happened}`, files, async (t, shop) => {
    const { migrate, run } = shop
    const plan = JSON.parse((await run('migrate', '--plan', '--json')).stdout)
    await migrate({ to: '0001' })
    await run('migrate', 'rollback')
    const db = await killed(t, shop, '0001_item', plan[0].statements)
    if (happened) await db.schema.createTable('item').addColumn('n', 'bigint').execute()
    const { code, stdout, stderr } = await run('migrate')
    t.equal(code, 0)
    t.match(stdout, /^applied 0001_item .+\napplied 0002_rows /)
    t.equal(stderr, happened ? '0001_item was interrupted: going on behind its step 1\n' : '')
    t.strictSame(await tablesOf(db), ['item'])
  })
}

onMysql(t, '--lease does without GET_LOCK', files, async (t, { run, url }) => {
  t.match(await run('migrate', '--lease'), { code: 0, stderr: '', stdout: /^applied 0001_item/ })
  const db = await open(t, url)
  await db
    .updateTable('plinth_migration_lock')
    .set({ holder: 'another', expires_at: new Date('2100-01-01') })
    .execute()
  const refused = {
    code: 1,
    stderr: /waiting .+ another, since .+\nerror MIGRATION_LOCKED: .+ \(another\)/,
  }
  for (const command of ['migrate', 'migrate rollback']) {
    const args = [...command.split(' '), '--lease', '--lock-timeout', '0']
    t.match(await run(...args), refused)
  }
})

onMysql(t, 'says who may not create tables', files, async (t, { runIn, url }) => {
  const server = process.env.TEST_MYSQL_URL as string
  const database = new URL(url).pathname.slice(1)
  const user = `${database.slice(-30)}`
  await execute(server, `create user '${user}'@'127.0.0.1' identified by 'x'`)
  t.teardown(() => execute(server, `drop user '${user}'@'127.0.0.1'`))
  await execute(server, `grant select, insert on ${database}.* to '${user}'@'127.0.0.1'`)
  const DATABASE_URL = Object.assign(new URL(url), { username: user, password: 'x' }).href
  t.match(await runIn({ DATABASE_URL }, 'migrate'), {
    code: 1,
    stdout: '',
    stderr:
      /^error MIGRATION_RECORDS: The tables that record migrations cannot be used: [^\n]*denied[^\n]*; the user of DATABASE_URL has to be allowed to create tables\n$/,
  })
  t.match(await runIn({ DATABASE_URL }, 'migrate', 'status'), { code: 0 })
})
