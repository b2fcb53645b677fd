import { resolve } from 'node:path'
import t from 'tap'
import { parseDatabaseUrl, redactUrl } from '../../src/database/open.ts'

t.test('reads mysql URLs', async (t) => {
  const plain = {
    kind: 'mysql',
    host: 'db.local',
    port: 3306,
    user: 'me',
    password: '',
    database: 'shop',
  }
  t.strictSame(parseDatabaseUrl('mysql://me@db.local/shop'), plain)
  t.strictSame(parseDatabaseUrl('mysql://me:p%40%2F%3A%25@db.local:3307/my%20shop'), {
    ...plain,
    port: 3307,
    password: 'p@/:%',
    database: 'my shop',
  })
  t.strictSame(parseDatabaseUrl('mysql://me@[::1]/shop'), { ...plain, host: '::1' })
  t.strictSame(parseDatabaseUrl('mysql://me@db.local/shop?ssl-mode=DISABLED'), plain)
  const tls = (mode: string) => parseDatabaseUrl(`mysql://me@db.local/shop?ssl-mode=${mode}`)
  t.strictSame(tls('REQUIRED'), { ...plain, tls: { verify: false } })
  t.strictSame(tls('VERIFY_IDENTITY'), { ...plain, tls: { verify: true } })
})

t.test('reads sqlite URLs', async (t) => {
  t.strictSame(parseDatabaseUrl('sqlite::memory:'), { kind: 'sqlite', file: ':memory:' })
  t.strictSame(parseDatabaseUrl('sqlite:/data/a.db'), { kind: 'sqlite', file: '/data/a.db' })
  t.strictSame(parseDatabaseUrl('sqlite:./a.db', '/data'), { kind: 'sqlite', file: '/data/a.db' })
  t.strictSame(parseDatabaseUrl('sqlite:./a.db'), { kind: 'sqlite', file: resolve('a.db') })
})

t.test('refuses every other URL without telling its password', async (t) => {
  const refused: [string, string][] = [
    ['', 'it starts with neither mysql:// nor sqlite:'],
    ['postgres://me:s3cret@h/n', 'it starts with neither mysql:// nor sqlite:'],
    ['mysql:me:s3cret@h/n', 'it starts with neither mysql:// nor sqlite:'],
    ['mysql://me:s3c/ret@h/n', 'it is no URL; write @'],
    ['mysql://me:s3cret@h:99999/n', 'it is no URL; write @'],
    ['mysql://me:s3cret%@h/n', 'its password is not percent-encoded; write @'],
    ['mysql://h/n', 'it names no user'],
    ['mysql://me:s3cret@h', 'it names no database'],
    ['mysql://me:s3cret@h/', 'it names no database'],
    ['mysql:///n', 'it names no host'],
    [
      'mysql://me:s3cret@h/n?charset=latin1',
      'it has the parameter charset; only ssl-mode is known',
    ],
    [
      'mysql://me:s3cret@h/n?ssl-mode=maybe',
      'ssl-mode is one of DISABLED, REQUIRED, VERIFY_IDENTITY',
    ],
    [
      'mysql://me:s3cret@h/n?ssl-mode=toString',
      'ssl-mode is one of DISABLED, REQUIRED, VERIFY_IDENTITY',
    ],
    ['sqlite:', 'after sqlite: comes a path, without // and ?'],
    ['sqlite:///a.db', 'after sqlite: comes a path, without // and ?'],
    ['sqlite:a.db?mode=ro', 'after sqlite: comes a path, without // and ?'],
  ]
  for (const [url, problem] of refused) {
    const error = t.throws(
      () => parseDatabaseUrl(url),
      { code: 'DATABASE_URL_INVALID' },
      url,
    ) as Error
    t.ok(
      error.message.startsWith(`DATABASE_URL is not usable: ${problem}`),
      `${url}: ${error.message}`,
    )
    t.notMatch(JSON.stringify([error.message, error.stack, error.cause]), /s3c/)
  }
})

t.test('redacts passwords', async (t) => {
  t.equal(redactUrl('mysql://me:s3cret@h:3306/n'), 'mysql://me:***@h:3306/n')
  t.equal(
    redactUrl('mysql://me:s3@cret@h/n?ssl-mode=REQUIRED'),
    'mysql://me:***@h/n?ssl-mode=REQUIRED',
  )
  t.equal(redactUrl('redis://:s3cret@h:6379/0'), 'redis://:***@h:6379/0')
  t.equal(redactUrl('mysql://me@h/n'), 'mysql://me@h/n')
  t.equal(redactUrl('sqlite:./data/dev.db'), 'sqlite:./data/dev.db')
  t.equal(redactUrl('mysql://me:s3c/ret@h/n'), '***')
})
