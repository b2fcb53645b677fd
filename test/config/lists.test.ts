import { join } from 'node:path'
import Fastify from 'fastify'
import t from 'tap'
import Type, { type Static } from 'typebox'
import config from '../../plugins/config.ts'
import { renderExample, renderTable } from '../../src/config/example.ts'
import { readConfig } from '../../src/config/read.ts'
import { secret } from '../../src/config/secret.ts'
import { failure } from '../helpers/app.ts'

const schema = Type.Object({
  HOSTS: Type.Array(Type.String({ format: 'host' }), { minItems: 1, maxItems: 3 }),
  PORTS: Type.Array(Type.Integer({ minimum: 1, maximum: 65535 }), { default: [80, 443] }),
  MODES: Type.Optional(Type.Array(Type.Enum(['fast', 'safe']), { uniqueItems: true })),
  RATES: Type.Optional(Type.Array(Type.Number())),
  FLAGS: Type.Array(Type.Boolean(), { default: [] }),
  KEYS: Type.Optional(secret(Type.Array(Type.String({ minLength: 3 })))),
  PEERS: Type.Optional(Type.Array(Type.String(), { secret: 'password' })),
})
const owners = [{ owner: 'shop', schema }]
const read = (env: NodeJS.ProcessEnv, more: object = {}) =>
  readConfig<Static<typeof schema>>(owners, { env, dotenv: false, ...more })
/** What is wrong, by the names of the variables. */
const problems = async (env: NodeJS.ProcessEnv, more: object = {}) => {
  const { errors } = await failure((async () => read(env, more))())
  return (errors as { path: string; message: string }[]).map(
    ({ path, message }) => `${path} ${message}`,
  )
}

t.test('commas divide a list, whose items have their types', async (t) => {
  const { values } = read({
    HOSTS: ' a.example.org, 127.0.0.1 ,,',
    PORTS: '8000,8001',
    MODES: 'safe',
    RATES: '0.5,1e3',
    FLAGS: 'true, false',
  })
  t.strictSame(
    { ...values },
    {
      HOSTS: ['a.example.org', '127.0.0.1'],
      PORTS: [8000, 8001],
      MODES: ['safe'],
      RATES: [0.5, 1000],
      FLAGS: [true, false],
    },
  )
  const hosts: string[] = values.HOSTS
  t.throws(() => hosts.push('b'), TypeError, 'it is frozen')
})

t.test('defaults, .env and those of an environment are lists, too', async (t) => {
  const dotenv = join(t.testdir({ '.env': 'HOSTS=a,b\nPORTS=\nRATES="1, 2"\n' }), '.env')
  const defaults = { dev: { MODES: ['fast', 'safe'], RATES: [5], PORTS: [1] } }
  const { values, variables } = readConfig<Static<typeof schema>>(owners, {
    env: {},
    dotenv,
    defaults,
  })
  t.strictSame(
    { ...values },
    {
      HOSTS: ['a', 'b'],
      PORTS: [1],
      MODES: ['fast', 'safe'],
      RATES: [1, 2],
      FLAGS: [],
    },
  )
  t.strictSame(
    variables.map(({ name, origin }) => `${name} ${origin}`),
    [
      'HOSTS .env',
      'PORTS defaults.dev',
      'MODES defaults.dev',
      'RATES .env',
      'FLAGS default',
      'KEYS unset',
      'PEERS unset',
    ],
  )
  const again = read({ HOSTS: 'a' }).values.PORTS
  t.strictSame(again, [80, 443])
  t.not(again, read({ HOSTS: 'a' }).values.PORTS, 'nobody shares the default')
  t.throws(() => read({ HOSTS: 'a' }, { defaults: { prod: { PORTS: [0] } } }), {
    message: /defaults\.prod\.PORTS: got "0", expected a list with commas/,
  })
})

t.test('in production it is the same', async (t) => {
  const mode = Type.Object({ ...schema.properties, NODE_ENV: Type.String() })
  const env = { NODE_ENV: 'production', HOSTS: 'a,b' }
  const { values } = readConfig<object>([{ owner: 'shop', schema: mode }], { env, dotenv: false })
  t.strictSame(
    { ...values },
    {
      HOSTS: ['a', 'b'],
      PORTS: [80, 443],
      FLAGS: [],
      NODE_ENV: 'production',
    },
  )
})

t.test('every bad list is told once, with what was got', async (t) => {
  t.strictSame(
    await problems({ PORTS: '80,x,0', MODES: 'fast,fast', RATES: '1,Infinity', FLAGS: '1' }),
    [
      '/HOSTS not set, expected a list with commas between its items, each text in the format host, 1 to 3 of them',
      '/PORTS got "80,x,0" from the environment, expected a list with commas between its items, each an integer from 1 to 65535',
      '/MODES got "fast,fast" from the environment, expected a list with commas between its items, each fast or safe, no two of them equal',
      '/RATES got "1,Infinity" from the environment, expected a list with commas between its items, each a number',
      '/FLAGS got "1" from the environment, expected a list with commas between its items, each true or false',
    ],
  )
  t.match(await problems({ HOSTS: ',' }), ['/HOSTS got "," from the environment'])
  t.match(await problems({ HOSTS: 'a,b,c,d' }), [/^\/HOSTS got/])
  t.match(await problems({ HOSTS: 'a b' }), [/^\/HOSTS got/])
  t.strictSame({ ...read({ HOSTS: 'Infinity' }).values }.HOSTS, ['Infinity'], 'a text may say so')
})

t.test('secrets in lists are not shown', async (t) => {
  const env = { HOSTS: 'a', KEYS: 'one,two', PEERS: 'redis://:pw@a:1/,redis://b/' }
  const { values, variables } = read(env)
  t.strictSame(values.KEYS, ['one', 'two'])
  const shown = Object.fromEntries(variables.map(({ name, value }) => [name, value]))
  t.match(shown, { KEYS: '***', PEERS: ['redis://:***@a:1/', 'redis://b/'] })
  t.notMatch(JSON.stringify(values), /two|pw/)
  t.match(await problems({ ...env, KEYS: 'one,x' }), [/^\/KEYS got a value that is not shown/])
})

t.test('the example and the table tell lists as they are written', async (t) => {
  const text = renderExample(owners, { prod: { RATES: [1, 2] } })
  t.match(
    text,
    /Expected: a list with commas between its items, each an integer from 1 to 65535\. Default: 80,443\.\n# PORTS=80,443\n/,
  )
  t.match(text, /Default: none\.\n# FLAGS=\n/)
  t.match(text, /each a number\. Default: none; 1,2 in prod\.\n/)
  t.match(renderTable(owners), /\| `PORTS` \|.*\| 80,443 \|/)
})

t.test('app.config has them', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(config, { owners, env: { HOSTS: 'a,b' }, dotenv: false })
  await app.ready()
  t.match(app.config, { HOSTS: ['a', 'b'], PORTS: [80, 443] })
})
