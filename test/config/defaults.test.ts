import { join } from 'node:path'
import t from 'tap'
import Type from 'typebox'
import type { EnvironmentDefaults } from '../../src/config/defaults.ts'
import { renderExample } from '../../src/config/example.ts'
import { readConfig } from '../../src/config/read.ts'
import type { KitConfig } from '../../src/config/schema.ts'
import { secret } from '../../src/config/secret.ts'
import { kitOwners } from '../../src/kit.ts'

const shop = {
  owner: 'shop',
  schema: Type.Object({
    SITE: Type.String({ format: 'uri' }),
    SEATS: Type.Integer({ default: 5, minimum: 1 }),
    OPEN: Type.Boolean({ default: false }),
    KEY: secret(Type.Optional(Type.String())),
  }),
}
const owners = [...kitOwners, shop]
const defaults: EnvironmentDefaults = {
  dev: { SITE: 'http://localhost', OPEN: true, DATABASE_URL: 'sqlite:./mine.db' },
  stag: { SITE: 'http://stag.test' },
  prod: { SITE: 'http://a.test', LOG_LEVEL: 'warn', DOCS: true, SEATS: 7, KEY: 'k' },
}

function read(env: NodeJS.ProcessEnv, own = defaults, dotenv: string | false = false) {
  const { values, variables } = readConfig<KitConfig & Record<string, unknown>>(owners, {
    env,
    dotenv,
    defaults: own,
  })
  const origin = (name: string) => variables.find((one) => one.name === name)?.origin
  return (...names: string[]) => names.map((name) => [values[name], origin(name)])
}

t.test('the environment says which defaults count', (t) => {
  const cases: [NodeJS.ProcessEnv, string, string][] = [
    [{}, 'http://localhost', 'defaults.dev'],
    [{ NODE_ENV: 'development' }, 'http://localhost', 'defaults.dev'],
    [{ NODE_ENV: 'production' }, 'http://a.test', 'defaults.prod'],
    [{ BKPAAS_ENVIRONMENT: 'prod' }, 'http://a.test', 'defaults.prod'],
    [{ BKPAAS_ENVIRONMENT: 'stag' }, 'http://stag.test', 'defaults.stag'],
    [{ BKPAAS_ENVIRONMENT: 'stag', NODE_ENV: 'production' }, 'http://stag.test', 'defaults.stag'],
    [{ BKPAAS_ENVIRONMENT: 'dev', NODE_ENV: '' }, 'http://localhost', 'defaults.dev'],
  ]
  for (const [env, site, origin] of cases)
    t.strictSame(read(env)('SITE'), [[site, origin]], JSON.stringify(env))
  t.throws(() => read({ NODE_ENV: 'test' }), { errors: [{ path: '/SITE' }] }, 'tests have none')
  const dotenv = join(t.testdir({ '.env': 'NODE_ENV=production\nSEATS=8' }), '.env')
  t.strictSame(read({}, defaults, dotenv)('SITE', 'SEATS', 'LOG_LEVEL'), [
    ['http://a.test', 'defaults.prod'],
    [8, '.env'],
    ['warn', 'defaults.prod'],
  ])
  t.end()
})

t.test('they win over the schema and the mode, and lose to what is set', (t) => {
  t.strictSame(read({ NODE_ENV: 'production' })('SEATS', 'DOCS', 'OPEN', 'LOG_LEVEL', 'HOST'), [
    [7, 'defaults.prod'],
    [true, 'defaults.prod'],
    [false, 'default'],
    ['warn', 'defaults.prod'],
    ['0.0.0.0', 'derived'],
  ])
  t.strictSame(read({ OPEN: 'false', SITE: 'http://b.test' })('OPEN', 'SITE', 'DATABASE_URL'), [
    [false, 'environment'],
    ['http://b.test', 'environment'],
    ['sqlite:./mine.db', 'defaults.dev'],
  ])
  const parts = { MYSQL_HOST: 'db', MYSQL_NAME: 'n', MYSQL_USER: 'u', MYSQL_PASSWORD: 'p' }
  t.strictSame(read(parts)('DATABASE_URL'), [['mysql://u:p@db:3306/n', 'derived']])
  t.throws(() => read({ MYSQL_HOST: 'db', MYSQL_NAME: 'n' }), {
    errors: [{ path: '/MYSQL_USER' }, { path: '/MYSQL_PASSWORD' }],
  })
  const some = { dev: { SITE: 'http://a.test', MYSQL_HOST: 'db', MYSQL_NAME: 'n' } }
  const rest = { MYSQL_USER: 'u', MYSQL_PASSWORD: 'p' }
  t.strictSame(read(rest, some)('DATABASE_URL'), [['mysql://u:p@db:3306/n', 'derived']])
  t.end()
})

t.test('bad ones are refused in every environment, all at once', (t) => {
  const bad = {
    production: {},
    dev: { SEATS: 0, NOPE: 1, NODE_ENV: 'test' },
    prod: { LOG_LEVEL: 'loud', PORT: '1e400', KEY: 'k', SITE: 'x', OPEN: undefined },
    stag: { BKPAAS_APP_SECRET: '', BKPAAS_ENVIRONMENT: 'dev', DATABASE_URL: 'joe:hunter2' },
  } as EnvironmentDefaults
  const message = [
    'The configuration is not valid:',
    '  defaults.production: expected one of dev, stag, prod',
    '  defaults.dev.SEATS: got "0", expected an integer of at least 1',
    '  defaults.dev.NOPE: no variable is called so',
    '  defaults.dev.NODE_ENV: it has none: it says which of them count',
    '  defaults.stag.BKPAAS_APP_SECRET: got a value that is not shown, expected text',
    '  defaults.stag.BKPAAS_ENVIRONMENT: it has none: it says which of them count',
    '  defaults.stag.DATABASE_URL: got a value that is not shown, expected mysql://user:password@host:3306/name or sqlite:./path/to/file.db',
    '  defaults.prod.LOG_LEVEL: got "loud", expected trace, debug, info, warn, error, fatal or silent',
    '  defaults.prod.PORT: got "1e400", expected an integer from 0 to 65535',
    '  defaults.prod.SITE: got "x", expected a URL',
  ]
  for (const env of [{}, { NODE_ENV: 'test' }])
    t.throws(() => read(env, bad), { code: 'CONFIG_INVALID', message: message.join('\n') })
  t.end()
})

t.test('.env.example tells them', (t) => {
  const text = renderExample([shop], defaults)
  t.match(
    text,
    'Required; http://localhost in dev; http://stag.test in stag; http://a.test in prod.\nSITE=\n',
  )
  t.match(text, 'Default: 5; 7 in prod.\n# SEATS=5\n')
  t.match(text, 'Default: none; *** in prod.\n# KEY=\n')
  t.end()
})
