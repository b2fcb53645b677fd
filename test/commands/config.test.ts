import { spawnSync } from 'node:child_process'
import t, { type Test } from 'tap'
import { kitOwners } from '../../src/kit.ts'
import { ENV, KIT, MANAGE, nodeOptions } from '../helpers/manage.ts'

const SECRET = 'hunter2'
const SERVICE = `
  const env = {
    type: 'object',
    required: ['SITE'],
    properties: {
      SITE: { type: 'string', format: 'uri', description: 'Its address.' },
      NOTE: { type: 'string' },
      SHOP_KEY: { type: 'string', secret: true },
    },
  }
  const plugin = async () => { throw new Error('the app was started') }
  export default { name: 'shop', modules: {}, env, plugins: [plugin] }`

/** Runs `manage config` for a service of its own, with these variables and this .env only. */
function manage(t: Test, args: string[], env: NodeJS.ProcessEnv, dotenv = '', service = SERVICE) {
  const folder = t.testdir({ '.env': dotenv, src: { 'service.ts': service } })
  const program = [nodeOptions(KIT), process.execPath, MANAGE]
  const { status, stdout, stderr } = spawnSync(ENV, [...program, 'config', ...args], {
    encoding: 'utf8',
    timeout: 120_000,
    env: { PATH: process.env.PATH, PLINTH_SERVICE: folder, ...env },
  })
  return { status, stdout, stderr, folder }
}

// Port 1 answers nothing: whoever connected would fail.
const attached = {
  SITE: 'http://a.test',
  SHOP_KEY: SECRET,
  DATABASE_URL: `mysql://joe:${SECRET}@127.0.0.1:1/shop`,
}

t.test('it prints names, values without secrets, and origins', async (t) => {
  const dotenv = 'PORT=9000\nSITE=http://b.test\nNOTE="a\\nb"'
  const { status, stdout, stderr } = manage(t, [], attached, dotenv)
  t.equal(stderr, '')
  t.equal(status, 0)
  const rows = stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/))
  t.strictSame(rows[0], ['NAME', 'VALUE', 'ORIGIN'])
  t.strictSame(
    rows.slice(1).map(([name]) => name),
    [
      ...kitOwners.flatMap(({ schema }) => Object.keys(schema.properties)),
      'SITE',
      'NOTE',
      'SHOP_KEY',
    ],
  )
  const wanted = [
    ['NODE_ENV', 'development', 'derived'],
    ['PORT', '9000', '.env'],
    ['LOG_LEVEL', 'info', 'default'],
    ['DATABASE_URL', 'mysql://joe:***@127.0.0.1:1/shop', 'environment'],
    ['REDIS_URL', 'unset'],
    ['SITE', 'http://a.test', 'environment'],
    ['NOTE', '"a\\nb"', '.env'],
    ['SHOP_KEY', '***', 'environment'],
  ]
  for (const row of wanted)
    t.strictSame(
      rows.find(([name]) => name === row[0]),
      row,
    )
  t.notMatch(stdout, SECRET)
})

t.test('--json prints every variable as data', async (t) => {
  const { status, stdout, stderr } = manage(t, ['--json'], attached)
  t.equal(stderr, '')
  t.equal(status, 0)
  const variables = JSON.parse(stdout)
  t.strictSame(variables.at(-3), {
    name: 'SITE',
    owner: 'shop',
    value: 'http://a.test',
    origin: 'environment',
    secret: false,
    description: 'Its address.',
    expected: 'a URL',
    default: null,
  })
  t.match(variables.at(-1), { name: 'SHOP_KEY', value: '***', secret: true })
  t.notMatch(stdout, SECRET)
})

t.test('--example prints .env.example, also while the configuration is bad', async (t) => {
  const { status, stdout } = manage(t, ['--example'], { PORT: 'x', SHOP_KEY: SECRET })
  t.equal(status, 0)
  t.match(stdout, '# config ---')
  t.match(stdout, '# Its address.\n# Expected: a URL. Required.\nSITE=\n')
  t.ok(stdout.endsWith('\n# SHOP_KEY=\n'))
})

t.test('a bad configuration: every problem on stderr, exit code 1', async (t) => {
  const bad = { PORT: 'x', DATABASE_URL: SECRET, MYSQL_HOST: 'db' }
  const { status, stdout, stderr } = manage(t, [], bad)
  t.equal(status, 1)
  t.equal(stdout, '')
  const lines = [
    'PORT: got "x" from the environment, expected an integer from 0 to 65535',
    'DATABASE_URL: got a value that is not shown from the environment, expected mysql://user:password@host:3306/name or sqlite:./path/to/file.db',
    'SITE: not set, expected a URL',
  ]
  for (const line of lines) t.match(stderr, `\n  ${line}\n`)
  t.notMatch(stderr, SECRET)
  t.notMatch(stderr, /^\s+at /m, 'no stack')
})

t.test('with --json a bad configuration is data too', async (t) => {
  const { status, stdout } = manage(t, ['--json'], { PORT: 'x' })
  t.equal(status, 1)
  t.strictSame(JSON.parse(stdout).error.errors, [
    {
      path: '/PORT',
      message: 'got "x" from the environment, expected an integer from 0 to 65535',
    },
    { path: '/SITE', message: 'not set, expected a URL' },
  ])
})

t.test('wrong usage exits with 2', async (t) => {
  t.equal(manage(t, ['--exmaple'], attached).status, 2)
  t.equal(manage(t, ['--example', '--json'], attached).status, 2)
})

t.test('defaults of the environment, and that bad ones are told', async (t) => {
  const withDefaults = (text: string) => SERVICE.replace('modules:', `defaults: ${text}, modules:`)
  const good = withDefaults("{ prod: { LOG_LEVEL: 'warn', SITE: 'http://prod.test' } }")
  const run = (env: NodeJS.ProcessEnv, service: string, ...args: string[]) =>
    manage(t, args, env, '', service)
  const { status, stdout } = run({ NODE_ENV: 'production' }, good, '--json')
  t.equal(status, 0)
  const shown = JSON.parse(stdout) as { name: string; value: unknown; origin: string }[]
  t.strictSame(
    shown
      .filter(({ origin }) => origin === 'defaults.prod')
      .map(({ name, value }) => [name, value]),
    [
      ['LOG_LEVEL', 'warn'],
      ['SITE', 'http://prod.test'],
    ],
  )
  t.match(run({}, good, '--example').stdout, 'Default: info; warn in prod.\n# LOG_LEVEL=info')
  const bad = run(attached, withDefaults("{ prod: { LOG_LEVEL: 'loud', NOPE: 1 } }"))
  t.equal(bad.status, 1)
  t.match(
    bad.stderr,
    /defaults\.prod\.LOG_LEVEL: got "loud"[\s\S]*defaults\.prod\.NOPE: no variable/,
  )
})
