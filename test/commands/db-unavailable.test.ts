import { join } from 'node:path'
import t from 'tap'
import { manage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'
import { execute } from '../servers/mysql.ts'
import { SERVICE } from './database-service.ts'

const files = { 'src/service.ts': SERVICE }

t.test('what a server or a folder refuses is said in a line', async (t) => {
  const server = process.env.TEST_MYSQL_URL as string
  const { host } = new URL(server)
  await execute(server, `create user if not exists 'plinth_nobody'@'127.0.0.1' identified by 'x'`)
  t.teardown(() => execute(server, `drop user if exists 'plinth_nobody'@'127.0.0.1'`))
  const service = writeService(t, files)
  const file = join(service, 'package.json')
  const urls = [
    [`mysql://plinth_nobody:x@${host}/shop`, /Access denied for user 'plinth_nobody'/],
    ['mysql://joe:hunter2@127.0.0.1:1/shop', /ECONNREFUSED/],
    [`sqlite:${file}/shop.db`, /shop\.db/],
  ] as const
  for (const [DATABASE_URL, reason] of urls) {
    for (const command of ['create', 'drop']) {
      const { code, stdout, stderr } = await manage(
        t,
        ['db', command, ...(command === 'drop' ? ['--force'] : [])],
        {
          service,
          env: { DATABASE_URL },
        },
      )
      if (command === 'drop' && DATABASE_URL.startsWith('sqlite')) continue
      t.match({ code, stdout }, { code: 1, stdout: '' })
      t.match(stderr, /^error DATABASE_UNAVAILABLE: [^\n]*\n$/)
      t.match(stderr, reason)
      t.notMatch(stderr, 'hunter2')
    }
  }
})
