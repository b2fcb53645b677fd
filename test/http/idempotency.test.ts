import { randomUUID } from 'node:crypto'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import idempotency from '../../plugins/idempotency.ts'
import { ExpiringRows } from '../../src/database/expiring-rows.ts'
import { errors } from '../../src/errors.ts'
import {
  databaseIdempotency,
  type IdempotencyStore,
  type KeptRequest,
  memoryIdempotency,
  redisIdempotency,
} from '../../src/http/idempotency-store.ts'
import { Type } from '../../src/index.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { file } from '../../src/resource/stream.ts'
import { onEveryDatabase } from '../database/fixture.ts'
import {
  createGate,
  createService,
  failure,
  type ServiceOptions,
  serveThings,
} from '../helpers/app.ts'
import { databaseDrivers, redisUrl } from '../helpers/drivers.ts'
import { ownRedis } from '../helpers/own-redis.ts'

/** Where answers are kept, by what is attached. */
const PLACES: Readonly<Record<string, (t: Test) => Promise<NodeJS.ProcessEnv>>> = {
  memory: async () => ({ DATABASE_URL: '' }),
  redis: async () => ({ DATABASE_URL: '', REDIS_URL: redisUrl() }),
  ...Object.fromEntries(
    databaseDrivers.map(({ name, url }) => [name, async (t) => ({ DATABASE_URL: await url(t) })]),
  ),
}

/** A service that pays, and counts how often it did. */
async function create(t: Test, variables: NodeJS.ProcessEnv, more: Partial<ServiceOptions> = {}) {
  const state = { paid: 0, gate: createGate(), fails: 0, begun: createGate() }
  state.gate.open()
  const pay = defineResource({
    summary: 'Pay',
    method: 'POST',
    path: '/:to',
    request: Type.Object({ to: Type.String(), cents: Type.Integer() }),
    response: Type.Object({ receipt: Type.Integer() }),
    status: 201,
    idempotency: true,
    async perform({ cents }, { reply }) {
      state.begun.open()
      await state.gate.opened
      if (state.fails > 0) {
        state.fails--
        throw new Error('no paper')
      }
      if (cents < 0) throw errors.CONFLICT('nothing is given back')
      reply?.header('location', `/receipts/${++state.paid}`)
      return { receipt: state.paid }
    },
  })
  const { app } = await createService(t, { pay }, { variables, identify, ...more })
  const send = (key: string | undefined, options: InjectOptions & { user?: string } = {}) =>
    app.inject({
      ...{ method: 'POST', url: '/things/ann', payload: { cents: 5 } },
      ...options,
      headers: {
        ...(key !== undefined && { 'idempotency-key': key }),
        'x-user': options.user ?? 'ann',
      },
    })
  return { app, state, send }
}

const identify = ({ headers }: { headers: Record<string, unknown> }) => ({
  id: String(headers['x-user']),
})

for (const [name, place] of Object.entries(PLACES)) {
  t.test(`a request that comes again is done once: ${name}`, async (t) => {
    const variables = await place(t)
    const service = { name: `test-${process.pid}-${name}` }
    const { state, send } = await create(t, variables, service)
    const first = await send('"one"')
    t.strictSame([first.statusCode, first.json().data], [201, { receipt: 1 }])
    const again = await send('"one"')
    t.equal(state.paid, 1)
    t.equal(again.body, first.body)
    for (const header of ['content-type', 'location'])
      t.equal(again.headers[header], first.headers[header])
    t.equal(again.statusCode, 201)
    t.strictSame(
      [first, again].map(({ headers }) => headers['idempotent-replayed']),
      [undefined, 'true'],
    )
    t.equal((await send('one')).body, first.body, 'without quotes')

    const other = await send('"one"', { payload: { cents: 6 } })
    t.strictSame([other.statusCode, other.json().code], [422, 'IDEMPOTENCY_KEY_REUSED'])
    const elsewhere = await send('"one"', { url: '/things/bob' })
    t.equal(elsewhere.statusCode, 422)
    t.equal((await send('"one"', { user: 'bob' })).json().data.receipt, 2, 'of another user')
    t.equal((await send('"two"')).json().data.receipt, 3)
    t.equal((await send(undefined)).json().data.receipt, 4, 'without a key each is done')

    t.equal((await send('"refused"', { payload: { cents: -1 } })).statusCode, 409)
    const told = await send('"refused"', { payload: { cents: -1 } })
    t.strictSame([told.statusCode, told.json().code], [409, 'CONFLICT'], 'a refusal is kept')
    t.equal((await send('"wrong"', { payload: { cents: 'x' } })).statusCode, 400)
    t.equal((await send('"wrong"')).statusCode, 201, 'what is not valid has begun nothing')

    state.fails = 1
    t.equal((await send('"fails"')).statusCode, 500)
    t.equal((await send('"fails"')).statusCode, 201, 'a failure is not kept')

    if (name === 'memory') return
    await t.test('of another process, too', async (t) => {
      const { state, send } = await create(t, variables, service)
      t.equal((await send('"one"')).body, first.body)
      t.equal(state.paid, 0)
    })
  })

  t.test(`of many at once one is done: ${name}`, async (t) => {
    const { state, send } = await create(t, await place(t), { name: `many-${process.pid}-${name}` })
    state.gate = createGate()
    const all = Array.from({ length: 10 }, () => send('"many"'))
    const first = Promise.race(all)
    t.strictSame([(await first).statusCode, (await first).json().code], [409, RUNNING])
    t.equal((await first).headers['retry-after'], '1')
    state.gate.open()
    // Who comes when it is done gets the same.
    const isFirst = ({ statusCode, headers }: Answer) =>
      statusCode === 201 && headers['idempotent-replayed'] === undefined
    t.equal((await Promise.all(all)).filter(isFirst).length, 1)
    t.equal(state.paid, 1)
    t.equal((await send('"many"')).statusCode, 201)
    t.equal(state.paid, 1)
  })
}

/** A request that is known no more when its answer comes. */
async function keepLost(t: Test, store: IdempotencyStore): Promise<void> {
  const mine: KeptRequest = { print: 'p', token: 'mine' }
  const other: KeptRequest = { print: 'p', token: 'other' }
  const answer = { status: 201, headers: {}, body: 'done' }
  await store.finish('lost', { ...mine, answer }, 60_000)
  t.match(await store.begin('lost', other, 60_000), { token: 'mine', answer })
  // Another one may have begun meanwhile: what that comes to counts.
  t.equal(await store.begin('over', other, 60_000), undefined)
  await store.finish('over', { ...mine, answer }, 60_000)
  t.strictSame(await store.begin('over', mine, 60_000), other)
  await store.release('over', 'mine')
  t.strictSame(await store.begin('over', mine, 60_000), other)
}

t.test('an answer is kept also where its request is known no more (memory)', (t) =>
  keepLost(t, memoryIdempotency()),
)

t.test('an answer is kept also where its request is known no more (redis)', async (t) => {
  const client = new Redis(redisUrl())
  t.teardown(() => client.disconnect())
  await keepLost(t, redisIdempotency(client, randomUUID()))
})

onEveryDatabase(t, 'an answer is kept also where its request is known no more', async (t, { db }) =>
  keepLost(t, databaseIdempotency(new ExpiringRows(db as never, 'kept', { owned: true }))),
)

type Answer = Pick<LightMyRequestResponse, 'statusCode' | 'headers'>

const RUNNING = 'IDEMPOTENCY_KEY_RUNNING'

t.test('keys that are none, or are missing where they have to be there', async (t) => {
  const { send } = await create(t, { DATABASE_URL: '' })
  for (const key of ['', '""', '"a', 'a b', 'x'.repeat(256), '"ä"']) {
    const refused = await send(key)
    t.strictSame([refused.statusCode, refused.json().code], [400, 'IDEMPOTENCY_KEY_INVALID'], key)
  }
  const run = { summary: 'x', perform: () => null }
  const needed = defineResource({ ...run, method: 'PUT', idempotency: 'required' })
  const read = defineResource({ ...run, path: '/read' })
  const modules = {
    all: defineModule({ prefix: '/all', idempotency: 'required', resources: { read, needed } }),
  }
  const { app } = await createService(t, {}, { modules, variables: { DATABASE_URL: '' } })
  const put = await app.inject({ method: 'PUT', url: '/all' })
  t.strictSame([put.statusCode, put.json().code], [400, 'IDEMPOTENCY_KEY_MISSING'])
  t.equal((await app.inject('/all/read')).statusCode, 200, 'what changes nothing needs none')
})

t.test('nothing is done where it cannot be known whether it was', async (t) => {
  const away = async () => {
    throw new Error('away')
  }
  const store = { begin: away, finish: away, release: away }
  let done = 0
  const pay = defineResource({
    ...{ summary: 'Pay', method: 'POST', idempotency: true },
    perform: () => {
      done++
      return null
    },
  })
  const plugin = (app: FastifyInstance) => void app.register(idempotency, { store })
  const app = await serveThings(t, { pay }, { plugin })
  const headers = { 'idempotency-key': '"a"' }
  const refused = await app.inject({ method: 'POST', url: '/things', headers })
  t.strictSame([refused.statusCode, refused.json().code], [503, 'IDEMPOTENCY_UNAVAILABLE'])
  t.equal(done, 0)
  t.equal((await app.inject({ method: 'POST', url: '/things' })).statusCode, 200)
})

t.test('what was refused as its time was over is not done when it has its key', async (t) => {
  const gate = createGate()
  const released = createGate<string>()
  let [begun, done] = ['', 0]
  const store: IdempotencyStore = {
    async begin(_, { token }) {
      begun = token
      await gate.opened
      return undefined
    },
    finish: async () => {},
    release: async (_, token) => released.open(token),
  }
  const pay = defineResource({
    ...{ summary: 'Pay', method: 'POST', idempotency: true, timeout: 50 },
    perform() {
      done++
      return null
    },
  })
  const plugin = (app: FastifyInstance) => void app.register(idempotency, { store })
  const app = await serveThings(t, { pay }, { plugin })
  const headers = { 'idempotency-key': '"a"' }
  t.equal((await app.inject({ method: 'POST', url: '/things', headers })).statusCode, 504)
  gate.open()
  t.equal(await released.opened, begun)
  t.equal(done, 0)
})

t.test(
  'Redis is asked again where it was late; a request that it took too late may come again',
  async (t) => {
    const server = await ownRedis(t)
    const { url } = server
    const variables = { DATABASE_URL: '', REDIS_URL: url, REDIS_TIMEOUT: '4000' }
    const { state, send } = await create(t, variables)
    t.equal((await send('"first"')).statusCode, 201)
    const client = new Redis(url)
    t.teardown(() => client.disconnect())
    // It does what it was asked when that is over.
    await client.call('client', 'pause', 4400)
    const second = await send('"second"')
    t.strictSame([second.statusCode, second.json().data], [201, { receipt: 2 }])
    server.freeze()
    const refused = await send('"third"')
    server.goOn()
    t.strictSame([refused.statusCode, refused.json().code], [503, 'IDEMPOTENCY_UNAVAILABLE'])
    const again = await send('"third"')
    t.strictSame([again.statusCode, again.json().data], [201, { receipt: 3 }])
    t.equal(state.paid, 3)
    t.match(await send('"second"'), { headers: { 'idempotent-replayed': 'true' } })
  },
)

t.test('what cannot be kept is refused when a service starts', async (t) => {
  const run = { summary: 'x', method: 'POST', idempotency: true, perform: () => null } as const
  const plugin = (app: FastifyInstance) => void app.register(idempotency)
  const upload = defineResource({ ...run, request: Type.Object({ picture: file() }) })
  const refused = await failure(serveThings(t, { upload }, { plugin }))
  t.match(refused, { code: 'RESOURCE_INVALID', message: /its request has a file/ })
  const alone = await failure(serveThings(t, { plain: defineResource(run) }))
  t.match(alone, { code: 'RESOURCE_INVALID', message: /plinth\/plugins\/idempotency/ })
  const { idempotency: _, ...others } = run
  const whole = defineResource({ ...others, request: Type.Object({ picture: file() }) })
  const resources = { idempotency: true } as const
  await serveThings(t, { whole }, { plugin, resources })
})
