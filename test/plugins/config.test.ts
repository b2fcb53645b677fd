import { join } from 'node:path'
import { inspect } from 'node:util'
import Fastify from 'fastify'
import t from 'tap'
import Type, { type Static } from 'typebox'
import config from '../../plugins/config.ts'
import { validator } from '../../src/config/ajv.ts'
import { readConfig } from '../../src/config/read.ts'
import { secret } from '../../src/config/secret.ts'
import { kitOwners } from '../../src/kit.ts'

const schema = Type.Object({
  TEST_SITE: Type.String({ format: 'uri' }),
  TEST_KEY: Type.Optional(secret(Type.String())),
})
const owners = [{ owner: 'shop', schema }]

/** The step of Ajv that is left out where a schema was compiled before. */
interface Compiler {
  _compileSchemaEnv(...args: unknown[]): unknown
}

declare module 'plinth' {
  interface ServiceConfig extends Partial<Static<typeof schema>> {}
}

t.test('alone in a bare app it reads environment and .env for the owners given', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const dotenv = join(t.testdir({ '.env': 'TEST_SITE=http://a.test\nTEST_KEY=hunter2' }), '.env')
  await app.register(config, { owners, env: { TEST_SITE: 'http://b.test' }, dotenv })
  app.get('/', async () => app.config)
  const site: string | undefined = app.config.TEST_SITE
  t.equal(site, 'http://b.test')
  t.equal(app.config.TEST_KEY, 'hunter2')
  t.strictSame({ ...app.config }, { TEST_SITE: 'http://b.test', TEST_KEY: 'hunter2' })
  t.equal(app.getEnvs(), app.config, 'as @fastify/env gives it')
  t.throws(() => Object.assign(app.config, { TEST_SITE: 'x' }), TypeError)
  t.notMatch(inspect(app.config), 'hunter2')
  const answer = await app.inject('/')
  t.strictSame(answer.json(), { TEST_SITE: 'http://b.test', TEST_KEY: '***' })
})

t.test("without owners it reads the kit's variables", async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(config, { env: { PORT: '9000' }, dotenv: false })
  const port: number = app.config.PORT
  t.equal(port, 9000)
  t.equal(app.config.HOST, '127.0.0.1')
})

t.test('with a configuration that was read nothing is read or compiled again', async (t) => {
  const read = readConfig([...kitOwners, ...owners], {
    env: { TEST_SITE: 'http://a.test', TEST_KEY: 'k', TRUST_PROXY: 'loopback' },
    dotenv: false,
  })
  const app = Fastify()
  t.teardown(() => app.close())
  const compiled = t.capture(validator() as unknown as Compiler, '_compileSchemaEnv')
  await app.register(config, { config: read })
  t.strictSame(compiled(), [])
  t.strictSame({ ...app.config }, { ...(read.values as object) })
})

t.test('with bad variables the app does not start', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(config, { owners, env: { TEST_SITE: 'nowhere' }, dotenv: false })
  await t.rejects(async () => void (await app.ready()), {
    code: 'CONFIG_INVALID',
    message:
      'The configuration is not valid:\n  TEST_SITE: got "nowhere" from the environment, expected a URL',
  })
})
