import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import health from '../../plugins/health.ts'
import redis, { type RedisPluginOptions } from '../../plugins/redis.ts'
import type { LogLine } from '../helpers/app.ts'
import { block } from '../helpers/block.ts'
import { PATIENT, PATIENT_HEALTH, redisUrl } from '../helpers/drivers.ts'
import { ownRedis } from '../helpers/own-redis.ts'
import { freePort } from '../servers/ready.ts'
import { until } from '../suites/cache-fixture.ts'

async function create(
  t: Test,
  options: RedisPluginOptions,
): Promise<{ app: FastifyInstance; logs: LogLine[] }> {
  const logs: LogLine[] = []
  const stream = { write: (line: string) => void logs.push(JSON.parse(line)) }
  const app = Fastify({ logger: { level: 'info', stream } })
  t.teardown(() => app.close())
  app.register(health, PATIENT_HEALTH)
  app.register(redis, options)
  await app.ready()
  return { app, logs }
}

const lines = (logs: LogLine[]) =>
  logs.filter(({ msg }) => msg.startsWith('Redis')).map(({ level, msg }) => [level, msg])
// Milliseconds: far more than a busy machine needs, far less than what waits for ever.
const PROMPT = 8000
/** Milliseconds that Redis may take, and does not on a busy machine. */
const BRIEF = 500
const LOST = [40, 'Redis cannot be used']
const BACK = [30, 'Redis can be used again']

t.test('works alone in a Fastify app, and ends with it', async (t) => {
  const app = Fastify()
  await app.register(redis, { url: redisUrl(), ...PATIENT })
  app.get('/', async () => await app.redis.ping())
  t.equal((await app.inject('/')).body, 'PONG')
  t.ok(app.hasPlugin('@fastify/redis'))
  await app.close()
  t.equal(app.redis.status, 'end')
  await t.rejects(app.redis.ping(), { message: 'Connection is closed.' })
})

t.test('is ready when the app is', async (t) => {
  const { app, logs } = await create(t, { url: redisUrl(), ...PATIENT })
  t.equal(app.redis.status, 'ready')
  t.match((await app.inject('/readyz')).json().data.checks, { redis: { ok: true, optional: true } })
  t.strictSame(lines(logs), [])
})

t.test('an app starts and closes whatever is wrong with its Redis', async (t) => {
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const { port } = silent.address() as { port: number }
  const rude = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  rude.listen(0, '127.0.0.1')
  await once(rude, 'listening')
  t.teardown(() => rude.close())
  const urls: Record<string, string> = {
    'nobody listens': `redis://:s3cret@127.0.0.1:${await freePort()}`,
    'no such host': 'redis://:s3cret@nowhere.invalid:6379',
    'says nothing': `redis://:s3cret@127.0.0.1:${port}`,
    'is no Redis': `redis://:s3cret@127.0.0.1:${(rude.address() as { port: number }).port}`,
    'no such user': redisUrl().replace('//', '//nobody:s3cret@'),
    'no such database': `${redisUrl()}/9999`,
  }
  for (const [name, url] of Object.entries(urls)) {
    await t.test(name, async (t) => {
      const began = performance.now()
      const { app, logs } = await create(t, { url })
      t.ok(performance.now() - began < PROMPT, 'starts')
      const asked = performance.now()
      await t.rejects(app.redis.get('key'))
      t.ok(performance.now() - asked < PROMPT, 'does not wait for it')
      const { ready, checks } = (await app.inject('/readyz')).json().data
      t.match({ ready, checks }, { ready: true, checks: { redis: { ok: false } } })
      await until(() => app.redis.status === 'reconnecting')
      t.strictSame(lines(logs), [LOST], 'one line')
      t.notMatch(JSON.stringify(logs), 's3cret')
      const closing = performance.now()
      await app.close()
      t.ok(performance.now() - closing < PROMPT, 'closes')
      t.strictSame(lines(logs), [LOST])
    })
  }
})

t.test('refuses a URL that is none', async (t) => {
  const app = Fastify()
  app.register(redis, { url: 'localhost:6379' })
  await t.rejects(async () => await app.ready(), { code: 'REDIS_URL_INVALID' })
})

t.test('goes on when Redis has been away, and says so once', async (t) => {
  const server = await ownRedis(t)
  const { app, logs } = await create(t, { url: server.url, ...PATIENT })
  for (let round = 1; round <= 2; round++) {
    await server.kill()
    await until(() => app.redis.status === 'reconnecting')
    await t.rejects(app.redis.get('key'))
    t.equal((await app.inject('/readyz')).statusCode, 200)
    await server.restart()
    const began = performance.now()
    await until(() => app.redis.status === 'ready')
    t.ok(performance.now() - began < PROMPT)
    t.equal(await app.redis.get('key'), null)
    t.strictSame(lines(logs).slice(-2), [LOST, BACK])
    t.equal(lines(logs).length, 2 * round)
  }
})

t.test('a Redis that is frozen holds nothing up, and is used again', async (t) => {
  const server = await ownRedis(t)
  const { app } = await create(t, { url: server.url, commandTimeout: 100 })
  await until(() => app.redis.status === 'ready')
  server.freeze()
  const began = performance.now()
  await t.rejects(app.redis.get('key'), { message: 'Command timed out' })
  t.ok(performance.now() - began < PROMPT)
  await until(() => app.redis.status === 'reconnecting')
  server.goOn()
  const went = performance.now()
  await until(() => app.redis.status === 'ready')
  t.ok(performance.now() - went < PROMPT)
  server.freeze()
  const closing = performance.now()
  await app.close()
  t.ok(performance.now() - closing < PROMPT, 'closes without an answer')
  server.goOn()
})

t.test('a process that stands still while it asks Redis', async (t) => {
  const { url } = await ownRedis(t)
  const { app, logs } = await create(t, { url, commandTimeout: BRIEF })
  const other = app.redis.duplicate({ commandTimeout: BRIEF / 2 })
  t.teardown(() => other.disconnect())
  other.connect().catch(() => {})
  // Until here Redis may be late itself.
  await until(async () => {
    const isSet = await app.redis.set('key', 'value').catch(() => undefined)
    return isSet && other.status === 'ready'
  })
  const before = lines(logs)
  const asked = Promise.all([
    app.redis.get('key'),
    app.redis.pipeline().get('key').exec(),
    other.get('key'),
  ])
  // Longer than a connection may say nothing.
  block(8 * BRIEF)
  t.strictSame(await asked, ['value', [[null, 'value']], 'value'])
  t.strictSame(lines(logs), before)
})

t.test('lets a process end', async (t) => {
  const closed = `redis://127.0.0.1:${await freePort()}`
  for (const url of [redisUrl(), closed]) {
    const plugin = new URL('../../plugins/redis.ts', import.meta.url).href
    const script = `
      import Fastify from 'fastify'
      const { default: redis } = await import(${JSON.stringify(plugin)})
      const app = Fastify()
      await app.register(redis, { url: ${JSON.stringify(url)} })
      await app.close()
      console.log('closed')`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      timeout: 60_000,
    })
    const [stdout, stderr, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'exit'),
    ])
    t.strictSame({ code, stdout, stderr }, { code: 0, stdout: 'closed\n', stderr: '' })
  }
})
