import { inspect } from 'node:util'
import Fastify from 'fastify'
import t from 'tap'
import Type from 'typebox'
import { renderExample, renderTable } from '../../src/config/example.ts'
import { readConfig } from '../../src/config/read.ts'
import { redact, redactValue, secret } from '../../src/config/secret.ts'
import { kitOwners } from '../../src/kit.ts'

const SECRET = 'hunter2'
const schema = Type.Object({
  KEY: secret(Type.String({ default: `default-${SECRET}` })),
  PIN: secret(Type.Integer({ minimum: 1000 })),
  HOOK: Type.Optional(secret(Type.String({ format: 'uri' }))),
})
const owners = [...kitOwners, { owner: 'shop', schema }]
const env = {
  PIN: '1234567',
  HOOK: `https://example.org/${SECRET}`,
  BKPAAS_APP_SECRET: SECRET,
  MYSQL_HOST: 'db',
  MYSQL_NAME: 'shop',
  MYSQL_USER: 'joe',
  MYSQL_PASSWORD: SECRET,
  REDIS_URL: `redis://:${SECRET}@r:6379/0`,
  REDIS_PASSWORD: SECRET,
}

t.test('a configuration keeps its values and shows no secret', async (t) => {
  const config = readConfig<Record<string, unknown>>(owners, { env, dotenv: false })
  t.match({ ...config.values }, { KEY: `default-${SECRET}`, PIN: 1234567, HOOK: env.HOOK })
  t.equal(config.values.DATABASE_URL, `mysql://joe:${SECRET}@db:3306/shop`)

  const lines: string[] = []
  const stream = { write: (line: string) => void lines.push(line) }
  Fastify({ logger: { stream } }).log.info({ config: config.values }, 'read')
  const shown = {
    inspected: inspect(config, { depth: 9 }),
    values: inspect(config.values),
    json: JSON.stringify(config.variables),
    all: JSON.stringify({ ...config, schema: undefined }),
    logged: lines.join(),
    redacted: JSON.stringify(redact(config.values, config.schema)),
  }
  for (const [where, text] of Object.entries(shown)) {
    // The default of KEY stands in the source, so its schema may show it; nothing else does.
    const without = text.replaceAll(`default: 'default-${SECRET}'`, '')
    t.notMatch(without, SECRET, where)
    t.notMatch(without, '1234567', where)
    t.match(text, 'mysql://joe:***@db:3306/shop', where)
  }
})

t.test('errors, .env.example and the table show no secret', async (t) => {
  const bad = {
    PIN: SECRET,
    HOOK: SECRET,
    DATABASE_URL: `x://${SECRET}`,
    REDIS_URL: `y://${SECRET}`,
  }
  try {
    readConfig(owners, { env: { ...env, ...bad }, dotenv: false })
    t.fail('accepted')
  } catch (error) {
    t.match(error, { errors: { length: 4 } })
    t.match((error as Error).message, 'PIN: got a value that is not shown from the environment')
    t.notMatch(inspect(error, { depth: 9, showHidden: true }), SECRET)
  }
  t.notMatch(renderExample(owners) + renderTable(owners), SECRET)
})

t.test('a URL is shown without password and query', async (t) => {
  const show = (url: string) => redactValue({ secret: 'password' }, url)
  const shown = {
    'mysql://user:pw@host:3306/name': 'mysql://user:***@host:3306/name',
    'mysql://user:p%40w@[::1]/name?password=pw': 'mysql://user:***@[::1]/name?***',
    'redis://:pw@host': 'redis://:***@host',
    'mysql://user@host/name': 'mysql://user@host/name',
    'mysql://user:@host/name': 'mysql://user:***@host/name',
    'mysql://host/name': 'mysql://host/name',
    'sqlite:./data/dev.db': 'sqlite:./data/dev.db',
    'sqlite::memory:': 'sqlite::memory:',
    'sqlite:///srv/data.db': 'sqlite:///srv/data.db',
  }
  for (const [url, expected] of Object.entries(shown)) t.equal(show(url), expected)
})

t.test('a URL whose password may sit elsewhere is not shown at all', async (t) => {
  const odd = [
    'mysql://u:p@w@host/n',
    'mysql://u:p/w@host/n',
    'mysql://u:p#w@host/n',
    'mysql://u:p?w@host/n',
  ]
  for (const url of [
    ...odd,
    'mysql://u:pw',
    'mysql://u:1/w@host',
    'pw',
    '',
    'sqlite:a?key=pw',
    'a://h/x#pw',
  ]) {
    t.equal(redactValue({ secret: 'password' }, url), '***', url)
  }
})

t.test('redact() hides what the schema does not know', async (t) => {
  const open = Type.Object({ A: Type.Integer(), B: secret(Type.Optional(Type.String())) })
  const values = { A: 1, B: 'b', C: 'c', D: undefined }
  t.strictSame(redact(values, open), { A: 1, B: '***', C: '***', D: undefined })
  t.strictSame(values, { A: 1, B: 'b', C: 'c', D: undefined })
})

t.test('secret() leaves the schema that it is given as it is', async (t) => {
  const plain = Type.Optional(Type.String({ minLength: 1 }))
  const marked = secret(plain)
  t.strictSame({ ...marked }, { type: 'string', minLength: 1, secret: true })
  t.strictSame({ ...plain }, { type: 'string', minLength: 1 })
  t.equal(Type.Object({ marked }).required, undefined, 'and optional')
})
