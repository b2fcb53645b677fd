import { join } from 'node:path'
import t from 'tap'
import { parseRedisUrl, placeOf, targetOf } from '../../src/config/redis-connection.ts'

t.test('reads the URL of a Redis', async (t) => {
  const cases: [string, object][] = [
    ['redis://localhost', { host: 'localhost', port: 6379, db: 0 }],
    ['redis://10.0.0.1:7000/3', { host: '10.0.0.1', port: 7000, db: 3 }],
    ['redis://[::1]/', { host: '::1', port: 6379, db: 0 }],
    ['redis://:p%40ss@h', { host: 'h', port: 6379, db: 0, password: 'p@ss' }],
    [
      'rediss://me:pw@h:1/15',
      { host: 'h', port: 1, db: 15, username: 'me', password: 'pw', tls: { servername: 'h' } },
    ],
  ]
  for (const [url, wanted] of cases) t.strictSame(parseRedisUrl(url), wanted)
})

t.test('refuses others, and tells nothing that may be a password', async (t) => {
  for (const url of [
    '',
    'localhost:6379',
    'http://s3cret@h',
    'redis://',
    'redis:///1',
    'redis://h/name',
    'redis://h/1/2',
    'redis://h/-1',
    'redis://me:s3cret@h:port',
    'redis://:s3cret%zz@h',
    'redis://h,i',
    'redis://h:65536',
    'redis://h?family=s3cret',
    'redis://h?ca=/s3cret',
    'rediss://h?ca=/no/such/s3cret',
    'rediss://h?cert=/s3cret',
    'redis+sentinel://h',
    'redis+sentinel://:s3cret@h/',
    'redis+sentinel://:s3cret@/main',
    'redis+sentinel://h,:s3cret/main',
    'redis+sentinel://h/main/s3cret',
    'redis+sentinel://h/main?sentinel=:s3cret%25zz',
  ]) {
    const refused = t.throws(() => parseRedisUrl(url), { code: 'REDIS_URL_INVALID' }) as Error
    t.notMatch(`${refused.message} ${refused.stack}`, 's3cret')
  }
})

t.test('reads where Sentinels are, and what they look after', async (t) => {
  const url = 'redis+sentinel://me:p%40ss@a,[::1]:7000/main/3?sentinel=:s3%40cret'
  const read = parseRedisUrl(url)
  t.match(read, {
    sentinels: [
      { host: 'a', port: 26_379 },
      { host: '::1', port: 7000 },
    ],
    name: 'main',
    db: 3,
    username: 'me',
    password: 'p@ss',
    sentinelPassword: 's3@cret',
  })
  t.notOk('tls' in read || 'host' in read)
  t.equal(placeOf(read), 'main by a:26379, ::1:7000')
  t.match(parseRedisUrl('rediss+sentinel://a/main'), {
    ...{ db: 0, enableTLSForSentinelMode: true, tls: {}, sentinelTLS: {} },
  })
  t.strictSame(targetOf({ ...read, commandTimeout: 5, lazyConnect: true }), read)
})

t.test('reads certificates, and checks an address by itself', async (t) => {
  const folder = t.testdir({ 'ca.pem': 'authority', 'me.pem': 'mine', 'me.key': 'key' })
  const query = `ca=${join(folder, 'ca.pem')}&cert=${join(folder, 'me.pem')}&key=${join(folder, 'me.key')}`
  const tls = { ca: Buffer.from('authority'), cert: Buffer.from('mine'), key: Buffer.from('key') }
  t.strictSame(parseRedisUrl(`rediss://h?${query}`).tls, { ...tls, servername: 'h' })
  t.strictSame(parseRedisUrl(`rediss://127.0.0.1/0?${query}`).tls, tls)
  t.strictSame(parseRedisUrl('rediss://[::1]').tls, {})
})
