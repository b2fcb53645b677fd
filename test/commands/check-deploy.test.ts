import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { Finding } from '../../src/check/finding.ts'
import { databaseDrivers, PATIENT_ENV } from '../helpers/drivers.ts'
import { manage } from '../helpers/manage.ts'
import { ownMysql } from '../helpers/own-mysql.ts'
import { ownRedis } from '../helpers/own-redis.ts'
import { THINGS, writeService } from '../helpers/service.ts'
import { answerJson, serveUpstream } from '../helpers/upstream.ts'
import { execute } from '../servers/mysql.ts'

const PRODUCTION = { NODE_ENV: 'production' }

interface Options {
  files?: Record<string, string>
  env?: Record<string, string | undefined>
  args?: readonly string[]
  service?: string
}

/** What `manage check --deploy` finds, without what is fine. */
async function check(t: Test, { files, env, args = [], ...options }: Options = {}) {
  const service = options.service ?? writeService(t, files)
  const all = { ...PRODUCTION, ...env }
  const ended = await manage(t, ['check', '--deploy', '--json', ...args], { service, env: all })
  const findings: Finding[] = JSON.parse(ended.stdout)
  const bad = findings.filter(({ level }) => level !== 'ok')
  return { ...ended, findings, bad, codes: bad.map(({ code }) => code) }
}

/** A service that says what it is to be asked. */
const serviceOf = (more: string) => `
import { defineService } from 'plinth'
import { things } from './things.ts'
export default defineService({ name: 'shop', modules: { things }, ${more} })`

const CAREFUL = serviceOf(`
  authorize: () => {},
  rateLimits: { by: 'all', max: 1000, duration: 60_000 },`)
/** Redis counts its requests. */
const FIT = { REDIS_URL: process.env.TEST_REDIS_URL, ...PATIENT_ENV }

t.test('a service that is fit: nothing but that the Redis of the tests forgets', async (t) => {
  const { code, stderr, codes } = await check(t, { files: { 'src/service.ts': CAREFUL }, env: FIT })
  t.same({ code, stderr }, { code: 0, stderr: '' })
  t.strictSame(codes, ['redis-not-durable'])
})

t.test(
  'each finding has a code, a remedy and a page; warnings alone are exit code 0',
  async (t) => {
    const { code, bad, codes } = await check(t)
    t.equal(code, 0)
    t.strictSame(codes, ['auth-off', 'rate-limits-off'])
    for (const { level, remedy, page, ...finding } of bad) {
      t.equal(level, 'warning')
      t.ok(remedy)
      t.equal(page, `docs/checks.md#${finding.code}`)
    }
    t.match(await check(t, { args: ['--strict'] }), { code: 1 })
  },
)

t.test('as text the remedy is below what is found', async (t) => {
  const service = writeService(t)
  const { code, stdout } = await manage(t, ['check', '--deploy'], { service, env: PRODUCTION })
  t.equal(code, 0)
  t.match(
    stdout,
    /^warning deployment: the service decides nothing .*\n {8}auth-off: Give the service auth: true, .* \(docs\/checks\.md#auth-off\)$/m,
  )
})

t.test(
  'variables that are wrong are told all at once, and nothing else is looked at',
  async (t) => {
    const { code, bad, findings } = await check(t, { env: { PORT: 'high', BODY_LIMIT: '-1' } })
    t.equal(code, 1)
    t.match(findings, [{ code: 'configuration-invalid', level: 'error', check: 'configuration' }])
    t.match(bad[0]?.message, /^CONFIG_INVALID: .*PORT.*BODY_LIMIT/s)
    t.equal(findings.length, 1)
  },
)

t.test('an app that cannot be built, or does not get ready, is an error', async (t) => {
  const broken = (register: string) => ({
    'src/service.ts': `export default { name: 'shop', modules: {}, plugins: [${register}] }`,
  })
  const ways = {
    built: broken("async () => { throw new Error('no such bucket') }"),
    ready: broken(
      "async (app) => app.addHook('onReady', async () => { throw new Error('no such bucket') })",
    ),
  }
  for (const [way, files] of Object.entries(ways)) {
    const { code, findings } = await check(t, { files })
    t.equal(code, 1, way)
    t.equal(findings.length, 1, way)
    t.match(findings, [
      { code: 'app-broken', level: 'error', check: 'app', message: 'no such bucket' },
    ])
  }
})

t.test(
  'what is attached and does not answer: an error, or a warning where it is done without',
  async (t) => {
    const attached = `
    async function mail(app) {
      app.readiness.set('mail', async () => { throw new Error('hunter2') })
    }
    export default { name: 'shop', modules: {}, plugins: [mail] }`
    const redis = await ownRedis(t)
    const service = writeService(t, { 'src/service.ts': attached })
    const told = async (more = {}) => {
      const env = { REDIS_URL: redis.url, ...more }
      const { code, bad, stdout } = await check(t, { service, env })
      t.notMatch(stdout, 'hunter2')
      const mine = bad.filter(({ check }) => check === 'attached')
      return { code, found: mine.map(({ level, code, subject }) => `${level} ${code}: ${subject}`) }
    }
    t.strictSame(await told(PATIENT_ENV), {
      code: 1,
      found: ['error attached-unavailable: mail'],
    })
    await redis.kill()
    writeFileSync(
      join(service, 'src/service.ts'),
      attached.replace('plugins: [mail]', 'plugins: []'),
    )
    t.strictSame(await told(), { code: 0, found: ['warning attached-unavailable: redis'] })
  },
)

t.test('a request that may be validated for long, until it is bounded', async (t) => {
  const told = async (schema: string) => {
    const things = THINGS.replace('request: Thing,', `request: Type.Object({ tags: ${schema} }),`)
    const files = {
      'src/things.ts': things.replace(
        'perform: (thing) => thing',
        "perform: () => ({ id: 1, name: 'one' })",
      ),
    }
    const { code, bad } = await check(t, { files })
    t.equal(code, 0)
    return bad.filter(({ check }) => check === 'requests')
  }
  t.match(await told('Type.Array(Type.String(), { uniqueItems: true })'), [
    {
      code: 'request-costly',
      level: 'warning',
      subject: 'things.add',
      message: /^things\.add: .*tags/,
    },
  ])
  t.strictSame(await told('Type.Array(Type.String(), { uniqueItems: true, maxItems: 100 })'), [])
})

t.test('metrics that everybody can read', async (t) => {
  const told = async (service: string, env: Record<string, string | undefined>) => {
    const { code, bad } = await check(t, { files: { 'src/service.ts': service }, env })
    t.equal(code, 0)
    return bad.filter(({ code }) => code === 'metrics-open')
  }
  const METRICS = 'true'
  t.match(await told(serviceOf(''), { METRICS }), [
    { check: 'telemetry', level: 'warning', message: /^METRICS is on: anybody can read \/metrics/ },
  ])
  t.strictSame(await told(serviceOf(''), { METRICS, METRICS_PORT: '9464' }), [])
  t.strictSame(await told(serviceOf(''), { METRICS: 'false' }), [])
  const guarded = LOGIN.replace('auth: true', "auth: { routes: { metrics: { auth: 'required' } } }")
  const alone = guarded.replace(/plugins: .*/, 'plugins: [session()],')
  const secret = { SESSION_SECRET: 'J8s-long-enough-and-by-chance-b9f1c0d2' }
  t.strictSame(await told(alone, { ...FIT, METRICS, ...secret }), [])
})

t.test('the settings of development are no production', async (t) => {
  const { code, bad } = await check(t, { env: { NODE_ENV: 'development' } })
  t.equal(code, 1)
  t.match(
    bad.filter(({ level }) => level === 'error'),
    [{ code: 'not-production', message: /^NODE_ENV is development/ }],
  )
  t.ok(
    bad.some(({ code }) => code === 'docs-open'),
    'what is unwise in production is told anyway',
  )
})

t.test('unsafe settings', async (t) => {
  const { code, bad } = await check(t, {
    env: {
      HOST: '127.0.0.1',
      TRUST_PROXY: 'true',
      BODY_LIMIT: '100000000',
      LOAD_SHEDDING: 'false',
      CORS_ORIGINS: '*',
      DOCS: 'true',
      CONTRACT: 'true',
      LOG_LEVEL: 'trace',
      DRAIN_DELAY: '0',
    },
  })
  t.equal(code, 0)
  const codes = new Set(bad.map(({ code }) => code))
  t.strictSame(
    [
      'docs-open',
      'contract-open',
      'cors-open',
      'log-verbose',
      'host-local',
      'trust-proxy-all',
      'body-limit-large',
      'load-shedding-off',
      'drain-none',
    ].filter((one) => !codes.has(one)),
    [],
  )
})

t.test('secrets that are weak or in the code are errors, and are not told', async (t) => {
  const env = `
    import { Type, secret } from 'plinth'
    export const env = Type.Object({ SMS_KEY: secret(Type.String()), MAIL_KEY: secret(Type.String()) })`
  const service = `
    import { defineService } from 'plinth'
    import { env } from './env.ts'
    export default defineService({
      name: 'shop', modules: {}, env, defaults: { prod: { MAIL_KEY: 'J8s-long-enough-and-public' } },
    })`
  const { code, bad, stdout } = await check(t, {
    files: { 'src/env.ts': env, 'src/service.ts': service },
    env: { SMS_KEY: 'hunter2' },
  })
  t.equal(code, 1)
  t.match(
    bad.filter(({ level }) => level === 'error'),
    [
      { code: 'secret-weak', subject: 'SMS_KEY' },
      { code: 'secret-in-code', subject: 'MAIL_KEY' },
    ],
  )
  t.notMatch(stdout, 'hunter2')
  t.notMatch(stdout, 'long-enough')
})

t.test('a process that is killed before it has ended is an error', async (t) => {
  const { code, bad } = await check(t, { args: ['--grace-period', '25'] })
  t.equal(code, 1)
  t.match(
    bad.find(({ level }) => level === 'error'),
    {
      code: 'shutdown-killed',
      message: /up to 25000 ms .* killed after 25 s$/,
    },
  )
  t.match(await check(t, { args: ['--grace-period', '26'] }), { code: 0 })
  const slow = THINGS.replace("summary: 'Every thing',", "summary: 'Every thing', timeout: 60_000,")
  const cut = await check(t, {
    files: { 'src/things.ts': slow },
    env: { REQUEST_TIMEOUT: '20001' },
  })
  t.match(
    cut.bad.filter(({ code }) => code === 'shutdown-cuts'),
    [
      { subject: 'REQUEST_TIMEOUT', message: /^a request may take 20001 ms, and has 20000/ },
      { subject: 'things.list', message: /^things\.list may take 60000 ms, and has 20000/ },
    ],
  )
  t.match(await manage(t, ['check', '--deploy', '--grace-period', '0']), { code: 2 })
})

const MIGRATION = `
import { createTable, defineMigration } from 'plinth/migration'
export default defineMigration([
  createTable('thing', { columns: { id: { type: 'integer' } }, primaryKey: ['id'] }),
])
`

const CHANGES = ['alter table thing add column size integer', 'create table others (id integer)']

/** Changes tables by hand, beside all migrations. */
async function changeByHand(url: string): Promise<void> {
  if (url.startsWith('mysql:')) for (const sql of CHANGES) await execute(url, sql)
  else {
    const db = new DatabaseSync(url.slice('sqlite:'.length))
    for (const sql of CHANGES) db.exec(sql)
    db.close()
  }
}

for (const driver of databaseDrivers) {
  t.test(`${driver.name}: migrations and tables that are not what they were`, async (t) => {
    const url = await driver.url(t)
    const service = writeService(t, {
      'migrations/0001_one.ts': MIGRATION,
      'migrations/0002_two.ts': MIGRATION.replace("'thing'", "'other'"),
    })
    const env = { DATABASE_URL: url }
    const told = async () => {
      const { code, bad } = await check(t, { service, env })
      const mine = bad.filter(({ check }) => check === 'migrations')
      return { code, found: mine.map(({ level, code, message }) => `${level} ${code}: ${message}`) }
    }
    t.strictSame(await told(), {
      code: 1,
      found: ['error migrations-pending: not applied: 0001_one, 0002_two'],
    })
    t.match(await manage(t, ['migrate'], { service, env }), { code: 0 })
    t.strictSame(await told(), { code: 0, found: [] })

    await changeByHand(url)
    const drifted = await told()
    t.equal(drifted.code, 0)
    t.match(drifted.found, [/^warning database-drifted: thing\.size: is not wanted/])
    t.equal(drifted.found.length, 1, "a table of somebody else's is no drift")

    writeFileSync(join(service, 'migrations/0001_one.ts'), `// other\n${MIGRATION}`)
    rmSync(join(service, 'migrations/0002_two.ts'))
    t.strictSame(await told(), {
      code: 1,
      found: [
        'error migrations-drifted: applied, with another file than now: 0001_one',
        'error migrations-drifted: applied, and their files are gone: 0002_two',
      ],
    })
  })
}

t.test('a migration that harms the release before it is told until it is applied', async (t) => {
  const service = writeService(t, {
    'migrations/0001_one.ts': MIGRATION.replace(
      "'integer' }",
      "'integer' }, size: { type: 'integer' }",
    ),
  })
  const env = { DATABASE_URL: `sqlite:${join(service, 'shop.db')}` }
  t.match(await manage(t, ['migrate'], { service, env }), { code: 0 })
  writeFileSync(
    join(service, 'migrations/0002_two.ts'),
    `import { defineMigration, dropColumn } from 'plinth/migration'
    export default defineMigration([dropColumn('thing', 'size', { type: 'integer' })])`,
  )
  const dangers = async () =>
    (await check(t, { service, env })).bad.filter(({ code }) => code === 'migration-dangerous')
  t.match(await dangers(), [
    { level: 'warning', subject: '0002_two', message: /^0002_two: drop-column thing\.size/ },
  ])
  t.match(await manage(t, ['migrate'], { service, env }), { code: 0 })
  t.strictSame(await dangers(), [])
})

t.test('what each process would have for itself, and each machine', async (t) => {
  const things = THINGS.replace(
    "summary: 'Every thing',",
    "summary: 'Every thing', cache: { ttl: 60_000 }, schedule: '0 3 * * *',",
  )
  const service = writeService(t, {
    'src/things.ts': things,
    'src/service.ts': serviceOf(
      "authorize: () => {}, rateLimits: { by: 'address', max: 1000, duration: 60_000 },",
    ),
  })
  const told = async (DATABASE_URL: string) =>
    (await check(t, { service, env: { REDIS_URL: '', DATABASE_URL } })).codes.toSorted()
  const always = ['cache-in-memory', 'rate-limits-local', 'trust-proxy-none']
  t.strictSame(await told(''), [...always, 'tasks-in-memory'].toSorted())
  const file = `sqlite:${join(service, 'shop.db')}`
  t.strictSame(await told(file), [...always, 'database-file'].toSorted())
})

t.test('a Redis that evicts what waits in it is an error', async (t) => {
  const { url } = await ownRedis(t, { args: ['--maxmemory-policy', 'allkeys-lru'] })
  const { code, bad } = await check(t, { env: { REDIS_URL: url, ...PATIENT_ENV } })
  t.equal(code, 1)
  t.match(
    bad.find(({ level }) => level === 'error'),
    { check: 'tasks', code: 'redis-evicts' },
  )
})

t.test('the Redis of the cache alone may evict, and should', async (t) => {
  const [lasting, evicting] = [
    await ownRedis(t),
    await ownRedis(t, { args: ['--maxmemory-policy', 'allkeys-lru'] }),
  ]
  const about = async (url: string) => {
    const patience = { ...PATIENT_ENV, CACHE_REDIS_TIMEOUT: PATIENT_ENV.REDIS_TIMEOUT }
    const env = { REDIS_URL: lasting.url, CACHE_REDIS_URL: url, ...patience }
    const { codes } = await check(t, { env })
    return codes.filter((code) => code?.endsWith('evicts'))
  }
  t.strictSame(await about(evicting.url), [])
  t.strictSame(await about(lasting.url), ['cache-never-evicts'])
})

/** This machine, by a name that could be another one's. */
const elsewhere = (url: string) => url.replace('127.0.0.1', '0.0.0.0')

t.test('a Redis and a database of another machine without TLS and password', async (t) => {
  const found = async (env: Record<string, string>) => {
    const { bad } = await check(t, { env })
    const mine = bad.filter(({ check }) => check === 'redis' || check === 'database')
    return mine.map(({ code, level }) => `${level} ${code}`)
  }
  const redis = `${process.env.TEST_REDIS_URL}`
  t.strictSame(await found({ REDIS_URL: elsewhere(redis) }), [
    'warning redis-unencrypted',
    'warning redis-no-password',
  ])
  t.strictSame(await found({ REDIS_URL: redis }), [])
  const mysql = (await databaseDrivers.find(({ name }) => name === 'mysql')?.url(t)) ?? ''
  t.strictSame(await found({ DATABASE_URL: elsewhere(mysql) }), ['warning database-unencrypted'])
  t.strictSame(await found({ DATABASE_URL: mysql }), [])
})

/** A service to which people and programs log in. */
const LOGIN = `
import { defineService } from 'plinth'
import bearer from 'plinth/plugins/bearer'
import oidc from 'plinth/plugins/oidc'
import session from 'plinth/plugins/session'
import { things } from './things.ts'
export default defineService({
  name: 'shop', modules: { things: { ...things, auth: 'required' } }, auth: true,
  plugins: [session(), oidc({ insecure: true }), bearer()],
})`

t.test(
  'people and programs that log in by http, and what browsers and APIs are not told',
  async (t) => {
    const { url } = await serveUpstream(t, (response) => {
      const at = (path: string) => `${provider}${path}`
      answerJson(response, {
        keys: [],
        issuer: provider,
        authorization_endpoint: at('/auth'),
        token_endpoint: at('/token'),
        jwks_uri: at('/jwks'),
        response_types_supported: ['code'],
      })
    })
    const provider = elsewhere(url)
    const variables = {
      ...FIT,
      SESSION_SECRET: 'J8s-long-enough-and-by-chance-b9f1c0d2',
      OIDC_ISSUER: provider,
      OIDC_CLIENT_ID: 'shop',
      OIDC_CLIENT_SECRET: 'b9f1c0d2e87a4356-of-the-client',
      OIDC_CALLBACK_URL: 'https://shop.example.com/oidc/callback',
      JWT_JWKS_URL: `${provider}/jwks`,
      JWT_ISSUER: provider,
      JWT_AUDIENCE: 'shop',
      SECURITY_HEADERS: 'false',
      BK_API_VERIFY_TLS: 'false',
    }
    const service = writeService(t, { 'src/service.ts': LOGIN })
    const those = ['apis-unverified', 'keys-unencrypted', 'provider-unencrypted']
    const told = async (env: Record<string, string>) => {
      const { bad } = await check(t, { service, env: { ...variables, ...env } })
      return bad
        .filter(({ code = '' }) => [...those, 'security-headers-off'].includes(code))
        .map(({ level, code }) => `${level} ${code}`)
        .toSorted()
    }
    t.strictSame(
      await told({}),
      [...those, 'security-headers-off'].map((code) => `warning ${code}`),
    )
    t.strictSame(
      await told({
        JWT_JWKS_URL: `${url}/jwks`,
        SECURITY_HEADERS: 'true',
        BK_API_VERIFY_TLS: 'true',
      }),
      ['warning provider-unencrypted'],
      'keys of this machine are safe',
    )
  },
)

t.test('a database whose certificate nobody looks at', async (t) => {
  const pem = fileURLToPath(new URL('../fixtures/localhost.pem', import.meta.url))
  const { url } = await ownMysql(t, [`--ssl-cert=${pem}`, `--ssl-key=${pem}`])
  const found = async (DATABASE_URL: string) => {
    const { bad } = await check(t, { env: { DATABASE_URL } })
    const mine = bad.filter(({ check }) => ['app', 'database'].includes(check))
    return mine.map(({ code, level }) => `${level} ${code}`)
  }
  await execute(url, 'create database shop')
  t.strictSame(await found(`${elsewhere(url)}/shop?ssl-mode=REQUIRED`), [
    'warning database-unverified',
  ])
  t.strictSame(await found(`${url}/shop?ssl-mode=REQUIRED`), [])
})

t.test('a migration that stopped in the middle, and one that is none', async (t) => {
  const url = (await databaseDrivers.find(({ name }) => name === 'mysql')?.url(t)) ?? ''
  const stopping = `
    import { defineMigration, runSql } from 'plinth/migration'
    const up = ['create table one (id integer)', 'create table one (id integer)']
    export default defineMigration([runSql({ up, down: 'drop table one' })])`
  const service = writeService(t, { 'migrations/0001_one.ts': stopping })
  const told = async (DATABASE_URL: string) => {
    const { code, bad } = await check(t, { service, env: { DATABASE_URL } })
    const mine = bad.filter(({ check }) => check === 'migrations')
    return { code, found: mine.map(({ level, code }) => `${level} ${code}`) }
  }
  t.match(await manage(t, ['migrate'], { service, env: { DATABASE_URL: url } }), { code: 1 })
  t.strictSame(await told(url), {
    code: 1,
    found: ['error migrations-pending', 'error migrations-interrupted'],
  })
  writeFileSync(join(service, 'migrations/0001_one.ts'), 'export default 1')
  t.strictSame(await told(''), { code: 1, found: ['error migrations-broken'] })
})

t.test('plain routes without a schema, and one that a plugin does not see', async (t) => {
  const service = `
    import limits from 'plinth/plugins/rate-limit'
    import { things } from './things.ts'
    async function admin(app) { app.post('/admin', async () => 'done') }
    export default { name: 'shop', modules: { things }, rateLimits: [], plugins: [admin, limits()] }`
  const { bad } = await check(t, { files: { 'src/service.ts': service } })
  t.match(
    bad.filter(({ check }) => check === 'routes'),
    [
      { code: 'route-without-schema', subject: 'POST /admin' },
      { code: 'route-too-early', message: /before the plugin rate-limit, which does not see it/ },
    ],
  )
})

t.test('what a service accepts is ok, with its reason', async (t) => {
  const accept = `check: { accept: {
    'auth-off': 'The gateway decides', 'rate-limits-off': 'The gateway counts',
    'shutdown-cuts:REQUEST_TIMEOUT': 'Nothing takes so long', 'docs-opne': 'A slip' } }`
  const { codes, findings } = await check(t, {
    files: { 'src/service.ts': serviceOf(accept) },
    env: { REQUEST_TIMEOUT: '30000' },
  })
  t.strictSame(codes, ['accept-unknown'])
  t.match(
    findings.find(({ code }) => code === 'auth-off'),
    { level: 'ok', accepted: 'The gateway decides' },
  )
  const service = writeService(t, { 'src/service.ts': serviceOf(accept) })
  const { stdout } = await manage(t, ['check', '--deploy'], { service, env: PRODUCTION })
  t.match(stdout, /^ok {6}deployment: .* \(accepted: The gateway decides\)$/m)
  const wrong = writeService(t, { 'src/service.ts': serviceOf('check: { silence: {} }') })
  t.match(await manage(t, ['check'], { service: wrong, env: PRODUCTION }), {
    code: 1,
    stdout: /SERVICE_INVALID: check of defineService has silence/,
  })
})

t.test('a table of processes that no platform can run is an error', async (t) => {
  const { code, bad } = await check(t, {
    files: { 'src/service.ts': serviceOf("processes: { worker: 'manage worker' } as never") },
  })
  t.equal(code, 1)
  t.match(
    bad.find(({ level }) => level === 'error'),
    {
      code: 'processes-invalid',
      message: /there is no web among them \(worker\)/,
    },
  )
})
