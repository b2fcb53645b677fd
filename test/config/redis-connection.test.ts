import t from 'tap'
import {
  lastingConnection,
  parseRedisUrl,
  REDIS_LIMITS,
  requestConnection,
} from '../../src/config/redis-connection.ts'

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
  ]) {
    const refused = t.throws(() => parseRedisUrl(url), { code: 'REDIS_URL_INVALID' }) as Error
    t.notMatch(`${refused.message} ${refused.stack}`, 's3cret')
  }
})

t.test('requests do not wait for Redis, workers do', async (t) => {
  const url = 'redis://h'
  t.match(requestConnection(url, { ...REDIS_LIMITS, commandTimeout: 300 }), {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: 300,
    connectTimeout: 2000,
  })
  const lasting = lastingConnection(url)
  t.equal(lasting.maxRetriesPerRequest, null)
  t.notOk('commandTimeout' in lasting || 'enableOfflineQueue' in lasting)
  for (const { retryStrategy } of [lasting, requestConnection(url, REDIS_LIMITS)]) {
    for (const times of [1, 5, 1e6]) {
      const wait = retryStrategy?.(times) ?? 0
      t.ok(wait >= 50 && wait <= 500)
    }
  }
})
