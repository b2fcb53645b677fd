import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { open, tablesOf } from '../database/fixture.ts'
import { manage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'
import { startOnTerminal } from '../helpers/terminal.ts'
import { atEveryPlace } from './database-place.ts'
import { SERVICE } from './database-service.ts'

const files = { 'src/service.ts': SERVICE }

atEveryPlace(t, 'drops nothing in production, or unasked', files, async (t, { name, run, url }) => {
  const db = await open(t, url)
  await db.schema.createTable('item').addColumn('n', 'integer').execute()
  const loss = `the database ${name} would be lost with all that is in it`
  for (const command of ['db drop', 'db reset']) {
    t.match(await run(command, { NODE_ENV: 'production' }), {
      code: 1,
      stdout: '',
      stderr: `error PRODUCTION_REFUSED: This is production and ${loss}; add --force to do it all the same\n`,
    })
    t.match(await run(command), {
      code: 1,
      stdout: '',
      stderr: `error CONFIRMATION_MISSING: Nothing has been done: ${loss}; type its name on a terminal, or add --force\n`,
    })
  }
  t.strictSame(await tablesOf(db), ['item'])
  t.match(await run('db drop --force', { NODE_ENV: 'production' }), { stdout: `dropped ${name}\n` })
})

t.test('on a terminal the name is asked for', async (t) => {
  const service = writeService(t, { ...files, '.env': 'DATABASE_URL=sqlite:shop.db' })
  const file = join(service, 'shop.db')
  await manage(t, ['db', 'create'], { service })
  for (const keys of ['shop\r', '\x03', '\x04']) {
    const terminal = startOnTerminal(t, ['db', 'drop'], { service })
    await terminal.until('stdout', /Type its name: /)
    terminal.type(keys)
    const { code, stdout } = await terminal.ended
    t.equal(code, 1)
    t.match(stdout, 'error CONFIRMATION_MISSING: ')
    t.ok(existsSync(file))
  }
  const terminal = startOnTerminal(t, ['db', 'drop'], { service })
  await terminal.until('stdout', /Type its name: /)
  terminal.type('shop.db\r')
  const { code, stdout } = await terminal.ended
  t.equal(code, 0)
  t.match(stdout, 'dropped shop.db')
  t.notOk(existsSync(file))
})
