import { join } from 'node:path'
import t from 'tap'
import Type, { type Static } from 'typebox'
import { type Config, readConfig } from '../../src/config/read.ts'
import type { KitConfig } from '../../src/config/schema.ts'
import { kitOwners } from '../../src/kit.ts'

const shop = Type.Object({
  CITY: Type.String({ default: 'Oslo', description: 'Where it is.' }),
  SEATS: Type.Integer({ minimum: 1, maximum: 500 }),
  RATE: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
  OPEN: Type.Boolean({ default: true }),
  SITE: Type.Optional(Type.String({ format: 'uri' })),
})
const owners = [{ owner: 'shop', schema: shop }]

function read(env: NodeJS.ProcessEnv, dotenv: string | false = false): Config<Static<typeof shop>> {
  return readConfig(owners, { env, dotenv })
}

t.test('the environment wins over .env, and that over the default', async (t) => {
  const dotenv = join(t.testdir({ '.env': 'CITY=Bergen\nSEATS=20\n' }), '.env')
  const origins = ({ values, variables }: Config<Static<typeof shop>>) => [
    { ...values },
    Object.fromEntries(variables.map(({ name, origin }) => [name, origin])),
  ]
  t.strictSame(origins(read({ SEATS: '30' }, dotenv)), [
    { CITY: 'Bergen', SEATS: 30, OPEN: true },
    { CITY: '.env', SEATS: 'environment', RATE: 'unset', OPEN: 'default', SITE: 'unset' },
  ])
  t.strictSame(origins(read({ SEATS: '30', CITY: 'Moss', OPEN: 'false' })), [
    { CITY: 'Moss', SEATS: 30, OPEN: false },
    {
      CITY: 'environment',
      SEATS: 'environment',
      RATE: 'unset',
      OPEN: 'environment',
      SITE: 'unset',
    },
  ])
})

t.test('what is derived follows the rank of its sources', async (t) => {
  const dotenv = join(t.testdir({ '.env': 'NODE_ENV=production' }), '.env')
  const host = (env: NodeJS.ProcessEnv) =>
    readConfig<KitConfig>(kitOwners, { env, dotenv }).values.HOST
  t.equal(host({}), '0.0.0.0')
  t.equal(host({ NODE_ENV: 'test' }), '127.0.0.1')
})

t.test('a variable is told with all that may be shown', async (t) => {
  t.strictSame(read({ SEATS: '30' }).variables.slice(0, 3), [
    {
      name: 'CITY',
      owner: 'shop',
      value: 'Oslo',
      origin: 'default',
      secret: false,
      description: 'Where it is.',
      expected: 'text',
      default: 'Oslo',
    },
    {
      name: 'SEATS',
      owner: 'shop',
      value: 30,
      origin: 'environment',
      secret: false,
      description: '',
      expected: 'an integer from 1 to 500',
      default: null,
    },
    {
      name: 'RATE',
      owner: 'shop',
      value: null,
      origin: 'unset',
      secret: false,
      description: '',
      expected: 'a number above 0',
      default: null,
    },
  ])
})

t.test('every bad variable is listed at once, in the order of the schema', async (t) => {
  const dotenv = join(t.testdir({ '.env': 'OPEN=yes' }), '.env')
  t.throws(() => read({ SITE: 'nowhere', RATE: '0', CITY: 'x' }, dotenv), {
    code: 'CONFIG_INVALID',
    message: [
      'The configuration is not valid:',
      '  SEATS: not set, expected an integer from 1 to 500',
      '  RATE: got "0" from the environment, expected a number above 0',
      '  OPEN: got "yes" from line 1 of .env, expected true or false',
      '  SITE: got "nowhere" from the environment, expected a URL',
    ].join('\n'),
    errors: [
      { path: '/SEATS', message: 'not set, expected an integer from 1 to 500' },
      { path: '/RATE', message: 'got "0" from the environment, expected a number above 0' },
      { path: '/OPEN', message: 'got "yes" from line 1 of .env, expected true or false' },
      { path: '/SITE', message: 'got "nowhere" from the environment, expected a URL' },
    ],
  })
})

t.test('integers: the bounds are in, what lies beyond or is no integer is not', async (t) => {
  for (const good of ['1', '500', '1e2', ' 7 ']) {
    t.equal(read({ SEATS: good }).values.SEATS, Number(good))
  }
  const bad = ['0', '501', '-1', '1.5', '1,5', 'ten', '5x', 'NaN', 'Infinity', '-Infinity', '1e400']
  for (const SEATS of [...bad, 'true', 'null', '[]', '9'.repeat(400)]) {
    t.throws(() => read({ SEATS }), { code: 'CONFIG_INVALID', errors: { length: 1 } }, SEATS)
  }
})

t.test(
  'an infinite number is refused beside other bad variables, and where there is no bound',
  async (t) => {
    t.throws(() => read({ SEATS: 'Infinity', RATE: '1e999', OPEN: '1' }), {
      message: [
        'The configuration is not valid:',
        '  SEATS: got "Infinity" from the environment, expected an integer from 1 to 500',
        '  RATE: got "1e999" from the environment, expected a number above 0',
        '  OPEN: got "1" from the environment, expected true or false',
      ].join('\n'),
    })
    t.equal(read({ SEATS: '1', CITY: 'Infinity' }).values.CITY, 'Infinity', 'as a text it is fine')
  },
)

t.test('an empty value is not set, except for a variable of any text', async (t) => {
  const dotenv = join(t.testdir({ '.env': 'SEATS=20\nCITY=Bergen' }), '.env')
  const blank = { CITY: '', SEATS: '', RATE: ' ', OPEN: '\t', SITE: '' }
  t.strictSame({ ...read(blank, dotenv).values }, { CITY: '', SEATS: 20, OPEN: true })
  t.throws(() => read(blank), { errors: [{ path: '/SEATS', message: /^not set/ }] })
})

t.test('a long or odd value is shown short and escaped', async (t) => {
  t.throws(() => read({ SEATS: 'x'.repeat(1000) }), { message: `"${'x'.repeat(80)}…"` })
  t.throws(() => read({ SEATS: 'a\n\x1b[31m' }), { message: String.raw`"a\n\u001b[31m"` })
})

t.test('nothing that was given is changed, and process.env is not read', async (t) => {
  const env = Object.freeze({ SEATS: '30', PORT: '1', EXTRA: 'x' })
  const properties = Object.freeze({ ...shop.properties })
  const frozen = Object.freeze({ ...shop, properties }) as typeof shop
  const before = JSON.stringify(shop)
  const process = JSON.stringify(globalThis.process.env)
  readConfig([Object.freeze({ owner: 'shop', schema: frozen }), ...kitOwners], {
    env,
    dotenv: false,
  })
  t.equal(JSON.stringify(shop), before)
  t.equal(JSON.stringify(globalThis.process.env), process)
  t.notOk(kitOwners.some(({ schema }) => 'additionalProperties' in schema))
  t.notOk('EXTRA' in read(env).values, 'what nobody declares is left out')
})

t.test('without sources, process.env is read, and .env of the working folder', async (t) => {
  const { cwd } = process
  const folder = t.testdir({ '.env': 'PLINTH_TEST_CITY=Bergen\nPLINTH_TEST_SEATS=1' })
  process.env.PLINTH_TEST_SEATS = '2'
  process.cwd = () => folder
  t.teardown(() => {
    process.cwd = cwd
    delete process.env.PLINTH_TEST_SEATS
  })
  const schema = Type.Object({ PLINTH_TEST_CITY: Type.String(), PLINTH_TEST_SEATS: Type.Integer() })
  const { values } = readConfig([{ owner: 'shop', schema }])
  t.strictSame({ ...(values as object) }, { PLINTH_TEST_CITY: 'Bergen', PLINTH_TEST_SEATS: 2 })
})

t.test('values cannot be changed', async (t) => {
  const { values } = read({ SEATS: '1' })
  t.throws(() => Object.assign(values, { SEATS: 2 }), TypeError)
})

t.test('a schema that cannot be compiled is an error of its own', async (t) => {
  for (const keyword of [{ minLenght: 1 }, { minLength: '1' }, { format: 'zip' }]) {
    const schema = Type.Object({ A: Type.Unsafe({ type: 'string', ...keyword }) })
    t.throws(() => readConfig([{ owner: 'shop', schema }], { env: {}, dotenv: false }), {
      message: new RegExp(Object.keys(keyword).join()),
    })
  }
})

t.test('schemas need not come from TypeBox', async (t) => {
  const schema = {
    type: 'object',
    properties: { A: { type: 'integer' } },
    required: ['A'],
  } as never
  const { values } = readConfig<{ A: number }>([{ owner: 'x', schema }], { env: { A: '5' } })
  t.equal(values.A, 5)
})

t.test("the kit's values without any variable set", async (t) => {
  const { values }: Config<KitConfig> = readConfig(kitOwners, { env: {}, dotenv: false })
  t.strictSame(
    { ...values },
    {
      NODE_ENV: 'development',
      HOST: '127.0.0.1',
      PORT: 8000,
      LOG_LEVEL: 'info',
      LOG_FORMAT: 'plinth',
      METRICS: false,
      SLOW_CALL: 0,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
      OTEL_EXPORTER_OTLP_TIMEOUT: 10_000,
      OTEL_EXPORTER_OTLP_COMPRESSION: 'none',
      OTEL_TRACES_SAMPLER: 'parentbased_always_on',
      OTEL_TRACES_SAMPLER_ARG: 1,
      OTEL_BSP_MAX_QUEUE_SIZE: 2048,
      OTEL_BSP_MAX_EXPORT_BATCH_SIZE: 512,
      OTEL_BSP_SCHEDULE_DELAY: 5000,
      OTEL_SDK_DISABLED: false,
      ADMIN: true,
      DEVELOPER: true,
      DOCS: true,
      CONTRACT: true,
      TRUST_PROXY: false,
      BODY_LIMIT: 1_048_576,
      REQUEST_TIMEOUT: 20_000,
      DRAIN_DELAY: 0,
      SHUTDOWN_TIMEOUT: 20_000,
      PLINTH_MODULES: '__all__',
      DATABASE_URL: 'sqlite:./data/dev.db',
      DATABASE_POOL_SIZE: 10,
      DATABASE_QUEUE_LIMIT: 10_000,
      DATABASE_CONNECT_TIMEOUT: 5000,
      DATABASE_ACQUIRE_TIMEOUT: 5000,
      DATABASE_QUERY_TIMEOUT: 30_000,
      DATABASE_SLOW_QUERY: 500,
      REDIS_TIMEOUT: 250,
      CACHE_REDIS_TIMEOUT: 250,
      CACHE_MEMORY: 67_108_864,
      TASK_IN_SERVER: true,
      TASK_CONCURRENCY: 10,
      TASK_MAX_CRASHES: 5,
      TASK_MAX_STUCK: 10,
      TASK_PAYLOAD_LIMIT: 1_048_576,
      TASK_RESULT_LIMIT: 1_048_576,
      CORS_CREDENTIALS: false,
      SECURITY_HEADERS: false,
      LOAD_SHEDDING: false,
      MAX_EVENT_LOOP_DELAY: 1000,
      BK_PLATFORM_AUTH: false,
      BK_API_VERIFY_TLS: true,
      QUEUES: true,
    },
  )
  const port: number = values.PORT
  const url: string | undefined = values.DATABASE_URL
  t.ok(port && url)
})

t.test(
  'in production what is judged at a look and what a validator judges stand together',
  async (t) => {
    const env = { NODE_ENV: 'production', CITY: 'Moss', SEATS: '30', SITE: 'http://a.test' }
    const mode = { owner: 'mode', schema: Type.Object({ NODE_ENV: Type.String() }) }
    const of = (more: object) =>
      readConfig([mode, ...owners], { env: { ...env, ...more }, dotenv: false }).values
    const { NODE_ENV: _, ...values } = of({}) as Record<string, unknown>
    t.strictSame({ ...values }, { CITY: 'Moss', SEATS: 30, SITE: 'http://a.test', OPEN: true })
    t.throws(() => of({ SITE: 'nowhere' }), { message: /\n {2}SITE: got "nowhere"/ })
    t.throws(() => of({ SEATS: '501' }), { message: /\n {2}SEATS: got "501"/ })
  },
)
