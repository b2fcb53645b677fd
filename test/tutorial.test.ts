import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { redisUrl } from './helpers/drivers.ts'
import { blocksOf, walk } from './helpers/walk.ts'
import { execute } from './servers/mysql.ts'

const page = readFileSync(new URL('../docs/tutorial.md', import.meta.url), 'utf8')

t.test('every step of the tutorial does what it says', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'plinth-tutorial-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const server = process.env.TEST_MYSQL_URL ?? ''
  const database = `plinth_tutorial_${process.pid}`
  t.teardown(() => execute(server, `DROP DATABASE IF EXISTS ${database}`))
  const given = {
    DATABASE_URL: Object.assign(new URL(server), { pathname: `/${database}` }).href,
    // A database of its own: schedules are known by their names there.
    REDIS_URL: `${redisUrl()}/11`,
  }
  await walk(t, blocksOf(page), { folder, given })
})
