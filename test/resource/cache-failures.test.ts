import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import t from 'tap'
import { Type } from 'typebox'
import { errors, notFound } from '../../src/errors.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createGate, failure, type LogLine } from '../helpers/app.ts'
import { ownRedis } from '../helpers/own-redis.ts'
import { freePort } from '../servers/ready.ts'
import { until } from '../suites/cache-fixture.ts'
import { logged, onEach, serve } from './attached.ts'

const Id = Type.Object({ id: Type.Integer() })
const HOUR = { ttl: 3_600_000, perUser: false }

/** A resource that does what `next` says, and counts its runs. */
function scripted(cache: object, next: (id: number) => Promise<number> | number) {
  const told = { runs: 0 }
  const thing = defineResource({
    summary: 'Scripted',
    path: '/:id',
    request: Id,
    response: Type.Integer(),
    cache: { ...HOUR, ...cache },
    perform({ id }) {
      told.runs++
      return next(id)
    },
  })
  return { thing, told }
}

onEach(t, 'a failure is told to all who wait, and not stored', async (t, attached) => {
  const { thing, told } = scripted({}, () => {
    if (told.runs === 1) throw errors.CONFLICT('not now')
    return 5
  })
  const app = await serve(t, attached, { thing })
  const first = await Promise.all([app.inject('/things/1'), app.inject('/things/1')])
  t.match(
    first.map((one) => one.json().code),
    ['CONFLICT', /./],
  )
  t.equal((await app.inject('/things/1')).json().data, 5)
  t.equal(told.runs, 2)
})

onEach(t, 'that there is nothing is remembered as long as negative says', async (t, attached) => {
  const rows = new Set<number>()
  const find = (id: number) => (rows.has(id) ? id : notFound('thing', id))
  const tags = ({ id }: { id: number }) => [`thing:${id}`]
  const { thing, told } = scripted({ negative: 60_000, tags }, find)
  const app = await serve(t, attached, { thing })
  for (let n = 0; n < 3; n++) {
    const none = await app.inject('/things/1')
    t.match(none.json(), { code: 'NOT_FOUND', message: 'There is no thing 1', errors: null })
    t.equal(none.statusCode, 404)
  }
  t.equal((await failure(app.run(() => thing({ id: 1 })))).code, 'NOT_FOUND')
  t.equal(told.runs, 1)
  rows.add(1)
  await app.cache.invalidate('thing:1')
  t.equal((await app.inject('/things/1')).json().data, 1)
  rows.delete(1)
  t.equal((await app.inject('/things/1')).json().data, 1, 'nobody has said that it is gone')
})

onEach(t, 'all that was told of nothing is remembered', async (t, attached) => {
  const more = { errors: [{ path: '/id', message: 'was merged' }], data: { instead: 2 } }
  const { thing, told } = scripted({ negative: 60_000 }, () => {
    throw errors.NOT_FOUND.with(more, 'thing', 1)
  })
  const app = await serve(t, attached, { thing })
  for (let n = 0; n < 2; n++) t.match((await app.inject('/things/1')).json(), more)
  t.equal(told.runs, 1)
})

onEach(t, 'that there is nothing is forgotten by invalidate and refresh', async (t, attached) => {
  const rows = new Set<number>()
  const { thing, told } = scripted({ negative: 60_000 }, (id) =>
    rows.has(id) ? id : notFound('thing', id),
  )
  const app = await serve(t, attached, { thing })
  const ask = async (id: number) => (await app.inject(`/things/${id}`)).statusCode
  t.strictSame([await ask(1), await ask(2)], [404, 404])
  rows.add(1).add(2)
  t.strictSame([await ask(1), await ask(2), told.runs], [404, 404, 2])
  await app.run(() => thing.invalidate({ id: 1 }))
  t.equal(await app.run(() => thing.refresh({ id: 2 })), 2)
  t.strictSame([await ask(1), await ask(2)], [200, 200])
})

onEach(t, 'what was not there before an invalidation is not remembered', async (t, attached) => {
  const looked = createGate()
  const gate = createGate()
  const rows = new Set<number>()
  const { thing } = scripted({ negative: 60_000, tags: ['things'] }, async (id) => {
    const there = rows.has(id)
    looked.open()
    await gate.opened
    return there ? id : notFound('thing', id)
  })
  const app = await serve(t, attached, { thing })
  const early = app.inject('/things/1')
  await looked.opened
  rows.add(1)
  await app.cache.invalidate('things')
  gate.open()
  t.equal((await early).statusCode, 404)
  t.equal((await app.inject('/things/1')).statusCode, 200)
})

onEach(t, 'without negative each call looks again', async (t, attached) => {
  const { thing, told } = scripted({}, (id) => notFound('thing', id))
  const app = await serve(t, attached, { thing })
  for (let n = 0; n < 3; n++) t.equal((await app.inject('/things/1')).statusCode, 404)
  t.equal(told.runs, 3)
})

onEach(t, 'only a 404 is remembered', async (t, attached) => {
  const { thing, told } = scripted({ negative: 60_000 }, () => {
    throw errors.FORBIDDEN()
  })
  const app = await serve(t, attached, { thing })
  for (let n = 0; n < 2; n++) t.equal((await app.inject('/things/1')).statusCode, 403)
  t.equal(told.runs, 2)
})

onEach(t, 'an old result is served while its source fails', async (t, attached) => {
  let away = false
  const { thing, told } = scripted({ ttl: 50, stale: 60_000 }, () => {
    if (away) throw new Error('the source is away')
    return told.runs
  })
  const app = await serve(t, attached, { thing })
  t.equal((await app.inject('/things/1')).json().data, 1)
  away = true
  await until(async () => {
    t.equal((await app.inject('/things/1')).json().data, 1)
    return app.cache.counts.failures > 0
  })
  t.equal((await app.inject('/things/1')).json().data, 1)
})

for (const [what, gone] of [
  ['is gone', () => notFound('thing', 1)],
  ['is forbidden', () => raise(errors.FORBIDDEN())],
] as const) {
  onEach(t, `an old result is not served any more when it ${what}`, async (t, attached) => {
    let there = true
    const { thing } = scripted({ ttl: 50, stale: 3_600_000, negative: 1000 }, () =>
      there ? 1 : gone(),
    )
    const app = await serve(t, attached, { thing })
    t.equal((await app.inject('/things/1')).json().data, 1)
    there = false
    await until(async () => (await app.inject('/things/1')).statusCode !== 200)
  })

  onEach(t, `refresh that finds that it ${what} takes the result away`, async (t, attached) => {
    let there = true
    const { thing } = scripted({}, () => (there ? 1 : gone()))
    const app = await serve(t, attached, { thing })
    t.equal((await app.inject('/things/1')).json().data, 1)
    there = false
    await t.rejects(app.run(() => thing.refresh({ id: 1 })))
    t.not((await app.inject('/things/1')).statusCode, 200)
  })
}

function raise(error: Error): never {
  throw error
}

onEach(t, 'a client that goes away fails nobody who waits for the same', async (t, attached) => {
  const begun = createGate()
  const gate = createGate<number>()
  const { thing, told } = scripted({}, () => {
    begun.open()
    return gate.opened
  })
  const app = await serve(t, attached, { thing })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const leaving = request({ host: '127.0.0.1', port, path: '/things/1' }).end()
  leaving.on('error', () => {})
  await begun.opened
  const staying = fetch(`http://127.0.0.1:${port}/things/1`)
  const left = new Promise((resolve) => leaving.once('close', resolve))
  leaving.destroy()
  await left
  gate.open(5)
  t.match(await (await staying).json(), { data: 5 })
  t.equal(told.runs, 1)
})

onEach(t, 'a caller that gives up fails nobody who waits for the same', async (t, attached) => {
  const begun = createGate()
  const gate = createGate<number>()
  const { thing, told } = scripted({}, () => {
    begun.open()
    return gate.opened
  })
  const app = await serve(t, attached, { thing })
  const controller = new AbortController()
  const late = failure(app.run(() => thing({ id: 1 }, { timeout: 500 })))
  await begun.opened
  const leaving = failure(app.run(() => thing({ id: 1 }, { signal: controller.signal })))
  const staying = app.run(() => thing({ id: 1 }))
  controller.abort(new Error('enough'))
  t.equal((await leaving).message, 'enough')
  t.equal((await late).code, 'DEADLINE_EXCEEDED')
  gate.open(5)
  t.equal(await staying, 5)
  t.equal(told.runs, 1)
})

onEach(
  t,
  'a load has the time of its resource, and its signal aborts then',
  async (t, attached) => {
    const seen: AbortSignal[] = []
    const slow = defineResource({
      summary: 'Slow',
      timeout: 30,
      response: Type.Integer(),
      cache: HOUR,
      perform(_, { signal }) {
        seen.push(signal)
        return seen.length === 1 ? new Promise<never>(() => {}) : 2
      },
    })
    const app = await serve(t, attached, { slow })
    const late = await app.inject('/things')
    t.strictSame([late.statusCode, late.json().code], [504, 'DEADLINE_EXCEEDED'])
    await until(() => seen[0]?.aborted)
    await until(async () => (await app.inject('/things')).json().data === 2)
    t.equal(seen.length, 2)
  },
)

onEach(
  t,
  'one hung load does not keep a key for ever, whoever has begun it',
  async (t, attached) => {
    let runs = 0
    const hanging = defineResource({
      summary: 'Hanging',
      response: Type.Integer(),
      cache: { ...HOUR, loadTimeout: 100 },
      perform: () => (++runs === 1 ? new Promise<never>(() => {}) : runs),
    })
    const app = await serve(t, attached, { hanging })
    const impatient = await failure(app.run(() => hanging({}, { timeout: 20 })))
    t.match(impatient, { code: 'DEADLINE_EXCEEDED', message: /20 ms/ })
    t.match(await failure(app.run(() => hanging())), { message: /100 ms/ }, 'who waits for it')
    t.equal(await app.run(() => hanging()), 2)
    t.equal((await app.inject('/things')).json().data, 2)
  },
)

onEach(t, 'a load knows who asks, and has no request', async (t, attached) => {
  const seen: unknown[] = []
  const own = defineResource({
    summary: 'Own',
    cache: { ttl: 3_600_000 },
    perform(_, { user, request, reply, requestId, traceparent, task }) {
      seen.push({ user, request, reply, requestId, traceparent, task })
      return null
    },
  })
  const app = await serve(t, attached, { own })
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const response = await app.inject({ url: '/things', headers: { 'x-user': 'ann', traceparent } })
  t.strictSame(seen, [
    {
      user: { id: 'ann' },
      request: undefined,
      reply: undefined,
      requestId: response.json().request_id,
      traceparent,
      task: undefined,
    },
  ])
})

for (const strict of [true, false]) {
  onEach(t, `what does not fit is not stored, strict ${strict}`, async (t, attached) => {
    let runs = 0
    const odd = defineResource({
      summary: 'Odd',
      response: Type.Object({ n: Type.Integer() }),
      cache: HOUR,
      perform: () => (++runs === 1 ? { n: 'x', extra: 1 } : { n: runs }) as never,
    })
    const app = await serve(t, attached, { odd }, { strict })
    t.equal((await app.inject('/things')).statusCode, 500)
    t.strictSame((await app.inject('/things')).json().data, { n: 2 })
  })
}

onEach(t, 'a stream is not cached', async (t, attached) => {
  const streams: Readable[] = []
  const stream = defineResource({
    summary: 'Stream',
    cache: HOUR,
    perform() {
      streams.push(Readable.from(['x']))
      return streams.at(-1) as never
    },
  })
  for (const strict of [true, false]) {
    const app = await serve(t, attached, { stream }, { strict })
    t.match((await app.inject('/things')).json(), { code: 'INVALID_RESPONSE' })
  }
  t.strictSame(
    streams.map(({ destroyed }) => destroyed),
    [true, true],
  )
})

t.test('times that are none are told at the start', async (t) => {
  const cases = [
    [{ ttl: 0 }, 'ttl is 0', 'above 0'],
    [{ ttl: Number.NaN }, 'ttl is NaN', 'above 0'],
    [{ ttl: Number.POSITIVE_INFINITY }, 'ttl is Infinity', 'above 0'],
    [{ ttl: '60' }, 'ttl is 60', 'above 0'],
    [{ ttl: '1 hour' }, 'ttl is 1 hour', 'above 0'],
    [{ ttl: '1m', stale: -1 }, 'stale is -1', 'from 0'],
    [{ ttl: '1m', negative: '5' }, 'negative is 5', 'from 0'],
    [{ ttl: '1m', anonymous: { ttl: -1 } }, 'ttl is -1', 'above 0'],
  ] as const
  for (const [cache, found, least] of cases) {
    const unit = "expected milliseconds, or a text like '30s' (ms, s, m, h, d)"
    const problem = `of its cache ${found}; ${unit}, ${least}, 31622400000 ms at most`
    const thing = defineResource({ summary: 'x', cache: cache as never, perform: () => null })
    t.match(await failure(serve(t, { url: undefined }, { thing })), {
      code: 'RESOURCE_INVALID',
      message: `The resource things.thing cannot be served: ${problem}`,
    })
  }
})

t.test('calls are served without a Redis, and while it goes and comes back', async (t) => {
  const { thing, told } = scripted({ tags: ['things'] }, (id) => id * told.runs)
  const nobody = await serve(
    t,
    { url: `redis://127.0.0.1:${await freePort()}` },
    { thing },
    { queues: [] },
  )
  for (let n = 0; n < 3; n++) t.equal((await nobody.inject('/things/1')).json().data, 1)

  const server = await ownRedis(t)
  const { logs, server: options } = logged()
  const app = await serve(t, server, { thing }, { queues: [], server: options })
  t.equal((await app.inject('/things/2')).json().data, 4)
  await server.kill()
  t.equal((await app.inject('/things/3')).json().data, 9)
  await app.cache.invalidate('things')
  t.equal((await app.inject('/things/3')).json().data, 12)
  await server.restart()
  const has = (msg: string) => logs.some((line: LogLine) => line.msg === msg)
  await until(() => has('Redis can be used again'))
  await until(async () => (await app.cache.stats()).redis !== null)
  t.equal((await app.inject('/things/2')).json().data, 10, 'it was invalidated meanwhile')
})
