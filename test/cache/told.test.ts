import { randomBytes } from 'node:crypto'
import { createServer, connect as dial } from 'node:net'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { type CacheOptions, openCache } from '../../src/cache/open.ts'
import type { Cache } from '../../src/cache/types.ts'
import { PATIENT } from '../helpers/drivers.ts'
import { ownRedis } from '../helpers/own-redis.ts'
import { patientConnection, until } from '../suites/cache-fixture.ts'

const HOUR = { ttl: 3_600_000, tags: ['tag'] }

/** A cache as another process would have it, and what it logs. */
async function open(
  t: Test,
  url: string,
  options: Partial<CacheOptions> = {},
): Promise<{ cache: Cache; client: Redis; lines: string[] }> {
  const client = new Redis(patientConnection(url))
  client.on('error', () => {})
  await client.connect().catch(() => {})
  const lines: string[] = []
  const tell = (_: object, message: string) => void lines.push(message)
  const log = { warn: tell, info: tell }
  const cache = await openCache({ client, log, ...PATIENT, ...options })
  t.teardown(async () => {
    await cache.close()
    client.disconnect()
  })
  await cache.get('first')
  return { cache, client, lines }
}

const refusals: Record<string, (client: Redis) => Promise<() => Promise<unknown>>> = {
  'takes no change': async (client) => {
    await client.config('SET', 'min-replicas-to-write', '1')
    return () => client.config('SET', 'min-replicas-to-write', '0')
  },
  'is full': async (client) => {
    await client.config('SET', 'maxmemory', '1')
    return () => client.config('SET', 'maxmemory', '0')
  },
  'has become a replica': async (client) => {
    await client.call('REPLICAOF', '127.0.0.1', '1')
    return () => client.call('REPLICAOF', 'NO', 'ONE')
  },
}

const changes: Record<string, (cache: Cache) => Promise<unknown>> = {
  invalidate: (cache) => cache.invalidate('tag'),
  delete: (cache) => cache.delete('key'),
  clear: (cache) => cache.clear(),
  set: (cache) => cache.set('key', 'new', HOUR),
}

for (const [name, refuse] of Object.entries(refusals)) {
  t.test(`no process serves what was changed while Redis ${name}`, async (t) => {
    const { url } = await ownRedis(t)
    const [a, b] = [await open(t, url), await open(t, url)]
    for (const [what, change] of Object.entries(changes)) {
      await a.cache.set('key', 'old', HOUR)
      // It may hear a moment later what was changed in the round before.
      await until(async () => (await b.cache.get('key')) === 'old')
      const allow = await refuse(a.client)
      await change(a.cache)
      for (const { cache } of [a, b]) {
        await until(async () => (await cache.get('key')) !== 'old')
        t.equal(await cache.getOrSet('key', () => 'new', HOUR), 'new', what)
      }
      await allow()
      await until(() => ![a, b].some(({ cache }) => cache.isBehind))
      const { cache } = await open(t, url)
      t.not(await cache.get('key'), 'old', `${what}: nor one that comes later`)
      // It would tell Redis what it hears in the rounds to come.
      await cache.close()
      await a.cache.clear()
    }
  })
}

t.test('nor one that cannot hear of it, as its subscription is lost just then', async (t) => {
  const { url } = await ownRedis(t)
  const [a, b] = [await open(t, url), await open(t, url)]
  await a.cache.set('key', 'old', HOUR)
  t.equal(await b.cache.get('key'), 'old')
  const allow = await refusals['takes no change']?.(a.client)
  const listening = async () => String(await a.client.call('CLIENT', 'LIST', 'TYPE', 'PUBSUB'))
  await a.client.call('CLIENT', 'KILL', 'TYPE', 'PUBSUB')
  await a.cache.invalidate('tag')
  await until(async () => (await listening()).match(/sub=1/g)?.length === 2)
  await until(async () => (await b.cache.get('key')) === undefined)
  await allow?.()
  await until(() => !a.cache.isBehind)
  await until(async () => {
    await a.cache.set('key', 'new', HOUR)
    return (await b.cache.get('key')) === 'new'
  })
})

t.test('who ends while Redis does not answer tells it what it has to, where it can', async (t) => {
  const server = await ownRedis(t)
  const a = await open(t, server.url, { commandTimeout: 1000 })
  await a.cache.set('key', 'old', HOUR)
  server.freeze()
  await a.cache.invalidate('tag')
  t.ok(a.cache.isBehind)
  const closing = a.cache.close()
  server.goOn()
  await closing
  t.notOk(a.cache.isBehind)
  const { cache } = await open(t, server.url)
  t.equal(await cache.get('key'), undefined)
})

t.test('who ends while it tells Redis waits for what comes of that', async (t) => {
  const server = await ownRedis(t)
  const [a, b] = [await open(t, server.url), await open(t, server.url)]
  await a.cache.set('key', 'old', HOUR)
  const allow = await refusals['takes no change']?.(b.client)
  const isTelling = sending(a.client, 'tag')
  await a.cache.invalidate('tag')
  server.freeze()
  const closing = a.cache.close()
  await until(isTelling)
  t.ok(a.cache.isBehind)
  server.goOn()
  await allow?.()
  await closing
  t.notOk(a.cache.isBehind)
  t.notOk(a.lines.find((line) => line.startsWith('Redis was not told')))
  t.equal(await (await open(t, server.url)).cache.get('key'), undefined)
})

/** Whether a command about `name`, sent from now on, has no answer yet. */
function sending(client: Redis, name: string): () => boolean {
  let open = 0
  const { sendCommand } = client
  client.sendCommand = (command, ...more) => {
    if (String(command.args).includes(name)) {
      open++
      const answered = () => void open--
      command.promise.then(answered, answered)
    }
    return sendCommand.call(client, command, ...more)
  }
  return () => open > 0
}

for (const how of ['killed', 'frozen'] as const) {
  t.test(`what nobody could tell a Redis that was ${how} is not served later`, async (t) => {
    const server = await ownRedis(t)
    // Less than who ends takes to tell it.
    const a = await open(t, server.url, { commandTimeout: 3500 })
    await a.cache.set('key', 'old', HOUR)
    if (how === 'frozen') server.freeze()
    else await server.kill()
    await a.cache.invalidate('tag')
    await until(() => a.lines.length > 0)
    await a.cache.close()
    t.match(a.lines, ['The cache goes on without Redis', /^Redis was not told of changes/])
    if (how === 'frozen') server.goOn()
    else await server.restart()
    const { cache } = await open(t, server.url)
    t.equal(await cache.get('key'), undefined)
  })
}

t.test('who has told everything leaves what there is to those who come later', async (t) => {
  const { url } = await ownRedis(t)
  const a = await open(t, url)
  await a.cache.set('key', 'value', HOUR)
  await a.cache.close()
  const b = await open(t, url)
  t.equal(await b.cache.get('key'), 'value')
  await b.cache.close()
  // As if nobody had been there for long: a process that lives gives signs of it.
  t.equal(await b.client.del(await b.client.keys('*:state')), 1)
  const { cache } = await open(t, url)
  t.equal(await cache.get('key'), undefined)
  await cache.set('key', 'new', HOUR)
  t.equal(await (await open(t, url)).cache.get('key'), 'new')
})

t.test('a Redis that is too slow for large values is done without for them', async (t) => {
  const { url } = await ownRedis(t)
  const slow = await slowLine(t, url)
  const writer = await open(t, url)
  await writer.cache.set('large', randomBytes(200_000).toString('hex'), { ttl: 3_600_000 })
  const { cache, lines } = await open(t, slow, { maxBytes: 0, commandTimeout: 250 })
  for (let n = 0; n < 20; n++) {
    await cache.get('large')
    // Until a PING has been answered nothing is asked.
    await until(async () => (await cache.stats()).redis !== null)
  }
  const { errors } = cache.counts
  t.ok(errors >= 3 && errors < 10, `it is not waited for each time: ${errors}`)
  const told = lines.filter((line) => line.startsWith('Redis is too slow for what the cache reads'))
  t.equal(told.length, 1)
  await writer.cache.clear()
})

/** A line to Redis on which long answers take their time. */
async function slowLine(t: Test, url: string): Promise<string> {
  const target = Number(new URL(url).port)
  const server = createServer((socket) => {
    const redis = dial(target, '127.0.0.1')
    let free = Promise.resolve()
    socket.pipe(redis)
    redis.on('data', (data) => {
      const wait = data.length > 10_000 ? 100 : 0
      free = free.then(() => new Promise((resolve) => setTimeout(resolve, wait)))
      free.then(() => socket.write(data))
    })
    for (const [one, other] of [
      [socket, redis],
      [redis, socket],
    ] as const) {
      one.on('error', () => {})
      one.on('close', () => other.destroy())
    }
    t.teardown(() => socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return `redis://127.0.0.1:${(server.address() as { port: number }).port}`
}
