import { once } from 'node:events'
import { createServer, connect as open, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import fastifyRedis from '@fastify/redis'
import Fastify, { type FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import cache from '../../plugins/cache.ts'
import redis from '../../plugins/redis.ts'
import resources from '../../plugins/resources.ts'
import tasks from '../../plugins/tasks.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import type { LogLine } from '../helpers/app.ts'
import { makeCertificates } from '../helpers/certificates.ts'
import { PATIENT } from '../helpers/drivers.ts'
import { ownRedis } from '../helpers/own-redis.ts'
import { ownSentinel } from '../helpers/own-sentinel.ts'
import { freePort } from '../servers/ready.ts'
import { until } from '../suites/task-fixture.ts'

// Each waits for servers of its own.
t.jobs = 4

/** What names begin with. */
const PREFIX = 'placed'

interface Opened {
  app: FastifyInstance
  /** Runs a task to its end. */
  add: () => Promise<number>
  logs: LogLine[]
}

/** An app with a cache, and tasks that it runs, in the Redis at `url`. */
async function use(t: Test, url: string, connectTimeout?: number): Promise<Opened> {
  const logs: LogLine[] = []
  const write = (line: string) => {
    const log = JSON.parse(line)
    if (!log.reqId) logs.push(log)
  }
  const stream = { write }
  const app = Fastify({ logger: { level: 'info', stream } })
  t.teardown(() => app.close())
  await app.register(redis, { url, ...(connectTimeout ? { connectTimeout } : PATIENT) })
  await app.register(cache, { prefix: PREFIX, ...PATIENT })
  await app.register(tasks, { prefix: `{${PREFIX}}:tasks` })
  let n = 0
  const add = defineResource({
    summary: 'Add',
    response: Type.Integer(),
    cache: { ttl: 60_000 },
    request: Type.Object({ to: Type.Integer() }),
    perform: ({ to }) => to + 1,
  })
  const modules = { things: defineModule({ prefix: '/things', resources: { add } }) }
  await app.register(resources, { modules })
  await app.ready()
  await app.tasks.work({ queues: ['default'], concurrency: 1, schedules: false })
  return {
    app,
    logs,
    add: async () => {
      const to = ++n
      const task = await app.run(() => add.enqueue({ to }))
      return (await task.result()) - to
    },
  }
}

/** Whether what one process stores another finds, is told of its end, and tasks run. */
async function works(t: Test, url: string): Promise<Opened> {
  const [one, other] = await Promise.all([use(t, url), use(t, url)])
  // Both do without Redis until they hear of changes.
  await until(async () => {
    await one.app.cache.set('key', 'value', { ttl: 60_000, tags: ['tag'] })
    return (await other.app.cache.get('key')) === 'value'
  })
  await one.app.cache.invalidate('tag')
  await until(async () => (await other.app.cache.get('key')) === undefined)
  t.equal(await one.add(), 1)
  return one
}

t.test(
  'TLS at an address, by an authority of its own, with a certificate of the client',
  async (t) => {
    const folder = t.testdir({})
    await makeCertificates(folder)
    const file = (name: string) => join(folder, name)
    const port = await freePort()
    const args = [
      ...['--tls-port', `${port}`, '--tls-auth-clients', 'yes'],
      ...['--tls-cert-file', file('server.pem'), '--tls-key-file', file('server.key')],
      ...['--tls-ca-cert-file', file('ca.pem')],
    ]
    const mine = `cert=${file('client.pem')}&key=${file('client.key')}`
    const url = `rediss://127.0.0.1:${port}?ca=${file('ca.pem')}&${mine}`
    await ownRedis(t, { args })
    const { redis } = (await works(t, url)).app
    // As where a server refuses who has begun to write.
    const { stream } = redis as unknown as { stream: Socket }
    for (const problem of ['one', 'another']) stream.emit('error', new Error(problem))
    stream.destroy()
    await until(async () => (await redis.ping().catch(() => undefined)) === 'PONG')
    for (const [what, other, problem] of [
      ['a stranger', `rediss://127.0.0.1:${port}?${mine}`, /self.signed|unable to verify/],
      [
        'no certificate',
        `rediss://127.0.0.1:${port}?ca=${file('ca.pem')}`,
        /certificate|ECONNRESET|closed/,
      ],
    ] as const) {
      const { logs } = await use(t, other)
      t.match(logs.find(({ msg }) => msg === 'Redis cannot be used')?.problem, problem, what)
    }
  },
)

t.test('a user who may use its own names alone, and not ask for INFO', async (t) => {
  const server = await ownRedis(t)
  const admin = new Redis(server.url)
  t.teardown(() => admin.disconnect())
  const rights = [
    'on',
    '>s3cret',
    `~{${PREFIX}}*`,
    `&{${PREFIX}}*`,
    '+@all',
    '-info',
    '-@dangerous',
  ]
  await admin.acl('SETUSER', 'me', ...rights)
  const { logs, app } = await works(t, server.url.replace('//', '//me:s3cret@'))
  await t.rejects(app.redis.keys('*'), /NOPERM/)
  t.match(await app.redis.info(), /redis_version:\d/)
  t.strictSame(
    logs.filter(({ level }) => Number(level) > 30),
    [],
  )
})

t.test('a cluster and a Sentinel are refused at once, in one sentence', async (t) => {
  const node = await ownRedis(t, { args: ['--cluster-enabled', 'yes'] })
  const { sentinel, second } = await ownSentinel(t)
  for (const [url, message] of [
    [node.url, /^plinth\/plugins\/redis cannot use this Redis: it is a node of a cluster; [^.]*$/],
    [
      `redis://${sentinel}`,
      /^plinth\/plugins\/redis cannot use this Redis: it is a Sentinel; [^.]*$/,
    ],
  ] as const) {
    const app = Fastify()
    app.register(redis, { url, ...PATIENT })
    await t.rejects(async () => await app.ready(), { code: 'REDIS_UNUSABLE', message })
    await app.close()
  }
  const { logs, app } = await use(t, second.url)
  await t.rejects(app.redis.get('key'))
  t.match(logs.find(({ msg }) => msg === 'Redis cannot be used')?.problem, /it is a replica/)
})

t.test(
  'a connection of the app whose names have a prefix, or of a cluster, is refused',
  async (t) => {
    const server = await ownRedis(t)
    for (const plugin of [cache, tasks]) {
      const app = Fastify()
      t.teardown(() => app.close())
      await app.register(fastifyRedis as never, { url: server.url, keyPrefix: 'mine:' })
      await t.rejects(async () => await app.register(plugin as never), {
        code: 'REDIS_UNUSABLE',
        message: /keyPrefix/,
      })
    }
    for (const plugin of [cache, tasks]) {
      const app = Fastify()
      t.teardown(() => app.close())
      app.decorate('redis', { isCluster: true, options: {} } as never)
      await t.rejects(async () => await app.register(plugin as never), {
        code: 'REDIS_UNUSABLE',
        message: /cluster/,
      })
    }
  },
)

t.test('Sentinel: the master dies, and its replica takes over', async (t) => {
  const set = await ownSentinel(t)
  const { app, add, logs } = await works(t, set.url)
  const answers: number[] = []
  let asking = true
  t.teardown(() => {
    asking = false
  })
  const clients = Array.from({ length: 4 }, async (_, client) => {
    for (let n = 0; asking; n++) {
      const { statusCode } = await app.inject(`/things?to=${client * 1_000_000 + (n % 50)}`)
      answers.push(statusCode)
      // Nothing of it waits, and others have a turn, too.
      await delay(5)
    }
  })
  await set.first.kill()
  const port = Number(new URL(set.second.url).port)
  await until(async () => (await set.master()) === port)
  // Where it has a database what cannot be enqueued waits there.
  await until(() => add().catch(() => undefined))
  await until(() => app.redis.set('{placed}:again', 'yes').catch(() => undefined))
  asking = false
  await Promise.all(clients)
  t.strictSame(new Set(answers), new Set([200]), `of ${answers.length} requests`)
  t.equal(app.redis.stream.remotePort, port)
  const told = logs.map(({ msg }) => msg).filter((msg) => msg.startsWith('Redis can'))
  t.strictSame(told, ['Redis cannot be used', 'Redis can be used again'])
})

t.test('Sentinel: the master becomes a replica, and goes on', async (t) => {
  const set = await ownSentinel(t)
  const { app, add } = await works(t, set.url)
  await set.failover()
  const port = Number(new URL(set.second.url).port)
  await until(() => app.redis.stream?.remotePort === port)
  t.equal(await until(() => app.redis.set('{placed}:again', 'yes').catch(() => undefined)), 'OK')
  t.equal(await until(() => add().catch(() => undefined)), 1)
})

t.test('no Sentinel answers: the app starts and ends, and says why', async (t) => {
  const port = await freePort()
  const { app, logs } = await use(t, `redis+sentinel://127.0.0.1:${port}/main`, 200)
  await t.rejects(app.redis.get('key'))
  t.match(
    logs.find(({ msg }) => msg === 'Redis cannot be used'),
    {
      place: `main by 127.0.0.1:${port}`,
      problem: /failed to connect to sentinel/,
    },
  )
  await app.close()
})

t.test('a name that leads to another master by now', async (t) => {
  const [first, second] = [await ownRedis(t), await ownRedis(t)]
  const name = await alias(t, first.url)
  const { app, add } = await works(t, name.url)
  await app.redis.set('{placed}:key', 1)
  const { port } = new URL(second.url)
  const old = new Redis(first.url)
  t.teardown(() => old.disconnect())
  // Connections stay: by these it would be asked until a restart.
  await old.replicaof('127.0.0.1', Number(port))
  name.leadTo(second.url)
  await until(() => app.redis.set('{placed}:key', 2).catch(() => undefined))
  t.equal(await until(() => add().catch(() => undefined)), 1)
  const other = new Redis(second.url)
  t.teardown(() => other.disconnect())
  t.equal(await other.get('{placed}:key'), '2')
})

/** An address that leads to one server, and later to another: connections that there are stay. */
async function alias(t: Test, url: string) {
  let target = new URL(url)
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    const to = open(Number(target.port), target.hostname)
    for (const one of [socket, to]) {
      sockets.add(one)
      one.on('error', () => {})
    }
    socket.pipe(to).pipe(socket)
    socket.on('close', () => to.destroy())
    to.on('close', () => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as { port: number }
  return {
    url: `redis://127.0.0.1:${port}`,
    leadTo(url: string) {
      target = new URL(url)
    },
  }
}
