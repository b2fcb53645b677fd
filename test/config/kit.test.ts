import Fastify from 'fastify'
import t from 'tap'
import { type Config, readConfig } from '../../src/config/read.ts'
import type { KitConfig } from '../../src/config/schema.ts'
import { kitOwners } from '../../src/kit.ts'

function read(env: NodeJS.ProcessEnv): Readonly<KitConfig> {
  const config: Config<KitConfig> = readConfig(kitOwners, { env, dotenv: false })
  return config.values
}

const url = (env: NodeJS.ProcessEnv) => read(env).DATABASE_URL
const parts = { MYSQL_HOST: 'db', MYSQL_NAME: 'shop', MYSQL_USER: 'joe', MYSQL_PASSWORD: 'pw' }

t.test('each bound of each number', async (t) => {
  const MAX = 2 ** 31 - 1
  const bounds: [name: keyof KitConfig, least: number, most?: number][] = [
    ['PORT', 0, 65_535],
    ['BODY_LIMIT', 1],
    ['REQUEST_TIMEOUT', 1, MAX],
    ['DRAIN_DELAY', 0, MAX],
    ['SHUTDOWN_TIMEOUT', 1, MAX],
    ['DATABASE_POOL_SIZE', 1],
    ['DATABASE_QUEUE_LIMIT', 1],
    ['DATABASE_CONNECT_TIMEOUT', 1, MAX],
    ['DATABASE_ACQUIRE_TIMEOUT', 1, MAX],
    ['DATABASE_QUERY_TIMEOUT', 0, MAX],
    ['MYSQL_PORT', 1, 65_535],
    ['REDIS_PORT', 1, 65_535],
    ['REDIS_DB', 0],
  ]
  for (const [name, least, most] of bounds) {
    const refuses = (value: number) =>
      t.throws(() => read({ [name]: String(value) }), { errors: [{ path: `/${name}` }] })
    t.equal(read({ [name]: String(least) })[name], least)
    refuses(least - 1)
    refuses(least + 0.5)
    refuses(Number.POSITIVE_INFINITY)
    if (most === undefined) continue
    t.equal(read({ [name]: String(most) })[name], most)
    refuses(most + 1)
  }
})

t.test('NODE_ENV comes from BKPAAS_ENVIRONMENT unless it is set', async (t) => {
  const modes = { dev: 'development', stag: 'production', prod: 'production' }
  for (const [BKPAAS_ENVIRONMENT, mode] of Object.entries(modes)) {
    t.equal(read({ BKPAAS_ENVIRONMENT }).NODE_ENV, mode)
    t.equal(read({ BKPAAS_ENVIRONMENT, NODE_ENV: 'test' }).NODE_ENV, 'test')
  }
  t.throws(() => read({ NODE_ENV: 'prod', BKPAAS_ENVIRONMENT: 'production' }), {
    errors: [{ path: '/NODE_ENV' }, { path: '/BKPAAS_ENVIRONMENT' }],
  })
})

t.test('HOST, DOCS and DATABASE_URL follow the mode, and are told as derived', async (t) => {
  const of = ({ HOST, DOCS, DATABASE_URL }: KitConfig) => ({ HOST, DOCS, DATABASE_URL })
  const local = { HOST: '127.0.0.1', DOCS: true, DATABASE_URL: 'sqlite:./data/dev.db' }
  t.strictSame(of(read({})), local)
  t.strictSame(of(read({ NODE_ENV: 'test' })), { ...local, DATABASE_URL: 'sqlite::memory:' })
  const open = { HOST: '0.0.0.0', DOCS: false, DATABASE_URL: undefined }
  t.strictSame(of(read({ NODE_ENV: 'production' })), open)
  t.strictSame(of(read({ BKPAAS_ENVIRONMENT: 'stag' })), open)
  const own = { HOST: '::1', DOCS: 'true', DATABASE_URL: 'sqlite::memory:' }
  t.strictSame(of(read({ NODE_ENV: 'production', ...own })), { ...own, DOCS: true })

  const { variables } = readConfig(kitOwners, { env: { HOST: '::1' }, dotenv: false })
  const origins = Object.fromEntries(variables.map(({ name, origin }) => [name, origin]))
  t.match(origins, {
    NODE_ENV: 'derived',
    HOST: 'environment',
    DOCS: 'derived',
    DATABASE_URL: 'derived',
    REDIS_URL: 'unset',
  })
})

t.test('DRAIN_DELAY leaves a balancer in production the time to hear of it', async (t) => {
  t.equal(read({}).DRAIN_DELAY, 0)
  t.equal(read({ NODE_ENV: 'test' }).DRAIN_DELAY, 0)
  t.equal(read({ NODE_ENV: 'production' }).DRAIN_DELAY, 5000)
  t.equal(read({ BKPAAS_ENVIRONMENT: 'stag' }).DRAIN_DELAY, 5000)
  t.equal(read({ NODE_ENV: 'production', DRAIN_DELAY: '0' }).DRAIN_DELAY, 0)
})

t.test('DATABASE_URL is made of the parts of MySQL, whatever they contain', async (t) => {
  t.equal(url(parts), 'mysql://joe:pw@db:3306/shop')
  t.equal(url({ ...parts, NODE_ENV: 'production' }), 'mysql://joe:pw@db:3306/shop')
  t.equal(url({ ...parts, MYSQL_PORT: '3307' }), 'mysql://joe:pw@db:3307/shop')
  t.equal(url({ ...parts, MYSQL_HOST: '::1' }), 'mysql://joe:pw@[::1]:3306/shop')
  t.equal(url({ ...parts, MYSQL_PASSWORD: '' }), 'mysql://joe:@db:3306/shop')
  t.equal(url({ ...parts, DATABASE_URL: 'sqlite:x.db' }), 'sqlite:x.db')

  const odd = {
    ...parts,
    MYSQL_USER: 'j@:/#?%é',
    MYSQL_PASSWORD: '@:/#?% "\'',
    MYSQL_NAME: 'a/b?c',
  }
  const { username, password, pathname, host } = new URL(url(odd) ?? '')
  t.strictSame([username, password, pathname.slice(1)].map(decodeURIComponent), [
    odd.MYSQL_USER,
    odd.MYSQL_PASSWORD,
    odd.MYSQL_NAME,
  ])
  t.equal(host, 'db:3306')
})

t.test('the parts of MySQL that are missing are listed with all else', async (t) => {
  const why = ', because MYSQL_HOST is set and DATABASE_URL is not'
  t.throws(() => read({ MYSQL_HOST: 'db', MYSQL_PORT: '0', PORT: 'x' }), {
    message: [
      'The configuration is not valid:',
      '  PORT: got "x" from the environment, expected an integer from 0 to 65535',
      '  MYSQL_PORT: got "0" from the environment, expected an integer from 1 to 65535',
      `  MYSQL_NAME: not set, expected text${why}`,
      `  MYSQL_USER: not set, expected text${why}`,
      `  MYSQL_PASSWORD: not set, expected text${why}`,
    ].join('\n'),
  })
  t.throws(() => read({ ...parts, MYSQL_NAME: '' }), { errors: [{ path: '/MYSQL_NAME' }] })
  t.equal(url({ MYSQL_HOST: 'db', DATABASE_URL: 'sqlite:x.db' }), 'sqlite:x.db')
  t.equal(
    url({ ...parts, MYSQL_HOST: '' }),
    'sqlite:./data/dev.db',
    'without a host no part counts',
  )
})

t.test('REDIS_URL is made of the parts of Redis', async (t) => {
  const redis = (env: NodeJS.ProcessEnv) => read(env).REDIS_URL
  t.equal(redis({}), undefined)
  t.equal(redis({ REDIS_HOST: 'r' }), 'redis://r:6379/0')
  t.equal(redis({ REDIS_HOST: 'r', REDIS_PASSWORD: '' }), 'redis://r:6379/0')
  t.equal(
    redis({ REDIS_HOST: '::1', REDIS_PORT: '1', REDIS_PASSWORD: 'a@b:/#', REDIS_DB: '2' }),
    'redis://:a%40b%3A%2F%23@[::1]:1/2',
  )
  t.equal(redis({ REDIS_HOST: 'r', REDIS_URL: 'rediss://x' }), 'rediss://x')
})

t.test('only URLs of what is supported, only real hosts', async (t) => {
  const bad: [keyof KitConfig, ...string[]][] = [
    ['DATABASE_URL', 'postgres://x', 'mysql:', 'mysql:/x', 'data.db', 'xsqlite:a'],
    ['REDIS_URL', 'http://x', 'redis:x', 'redis://', 'localhost:6379'],
    ['HOST', 'a b', 'http://a', 'a/b', 'a:80', '-a', 'a-', '[::1]'],
    ['DOCS', '1', 'yes', 'True'],
    ['LOG_LEVEL', 'INFO', 'verbose'],
  ]
  for (const [name, ...values] of bad) {
    for (const value of values) {
      t.throws(
        () => read({ [name]: value }),
        { errors: [{ path: `/${name}` }] },
        `${name} ${value}`,
      )
    }
  }
  for (const HOST of ['localhost', '0.0.0.0', '::', 'a.example.org', 'my_service']) {
    t.equal(read({ HOST }).HOST, HOST)
  }
})

t.test('TRUST_PROXY takes what Fastify takes', async (t) => {
  t.equal(read({ TRUST_PROXY: 'true' }).TRUST_PROXY, true)
  t.equal(read({ TRUST_PROXY: 'false' }).TRUST_PROXY, false)
  for (const list of ['127.0.0.1', '10.0.0.0/8, ::1', 'loopback,fc00::/7', '10.0.0.0/32']) {
    const { TRUST_PROXY } = read({ TRUST_PROXY: list })
    t.equal(TRUST_PROXY, list)
    t.doesNotThrow(() => Fastify({ trustProxy: TRUST_PROXY }))
  }
  for (const TRUST_PROXY of [
    '1',
    '10.0.0.0/0',
    '10.0.0.0/33',
    '::1/129',
    '10.0.0',
    'a,b',
    '::1,',
    '1.1.1.1/8/8',
  ]) {
    t.throws(() => read({ TRUST_PROXY }), { errors: [{ path: '/TRUST_PROXY' }] }, TRUST_PROXY)
  }
})
