import t from 'tap'
import { inserting, open, tablesOf } from '../database/fixture.ts'
import { creating, onSqlite } from './database-service.ts'

const files = {
  'migrations/0001_item.ts': creating('item'),
  'migrations/0002_order.ts': creating('order'),
  'migrations/0003_rows.ts': inserting('item', 7),
}

onSqlite(t, 'a rollback asks on a terminal', files, async (t, { migrate, onTerminal, url }) => {
  await migrate()
  const db = await open(t, url)
  for (const keys of ['\r', '\x03']) {
    const terminal = onTerminal('migrate', 'rollback', '--steps', '2')
    await terminal.until('stdout', /Take back the last 2 migrations\? Data is lost\. \[y\/N\] /)
    terminal.type(keys)
    const { code, stdout } = await terminal.ended
    t.equal(code, 1)
    t.match(
      stdout,
      'error CONFIRMATION_MISSING: Nothing has been done: a rollback drops tables and columns with their data; answer y, or add --yes',
    )
    t.strictSame(await tablesOf(db), ['item', 'order'])
  }
  const terminal = onTerminal('migrate', 'rollback')
  await terminal.until('stdout', /\[y\/N\] /)
  terminal.type('y\r')
  t.match(await terminal.ended, { code: 0, stdout: /took back 0003_rows/ })
  const { code, stdout } = await onTerminal('migrate', 'rollback', '--yes').ended
  t.equal(code, 0)
  t.notMatch(stdout, '[y/N]')
  t.strictSame(await tablesOf(db), ['item'])
})
