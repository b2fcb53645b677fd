import { EventEmitter, on } from 'node:events'
import type { ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { defineService, type ServiceDefinition } from '../../src/define-service.ts'
import { defineError } from '../../src/errors.ts'
import { defineApi } from '../../src/remote/api.ts'
import { type Client, type ClientOptions, createClient } from '../../src/remote/client.ts'
import { contractOf } from '../../src/remote/contract.ts'
import { defineModule, type ResourceTable } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { events, type ServerEvent } from '../../src/resource/stream.ts'
import { createGate, createService, failure } from '../helpers/app.ts'
import { poll } from '../helpers/network.ts'
import { answerJson, serveUpstream } from '../helpers/upstream.ts'

type Tick = ServerEvent<{ n: number }>

const TICKS_STOPPED = defineError('TICKS_STOPPED', 409, 'The ticks have stopped')
const news = new EventEmitter()

const ticks = defineResource({
  summary: 'Ticks',
  path: '/ticks',
  request: Type.Object({ from: Type.Integer(), to: Type.Integer() }),
  response: events(Type.Object({ n: Type.Integer() })),
  errors: [TICKS_STOPPED],
  perform({ from, to }, { lastEventId }) {
    if (from > to) throw TICKS_STOPPED()
    return (async function* (): AsyncGenerator<Tick> {
      for (let n = Number(lastEventId ?? from - 1) + 1; n <= to; n++)
        yield { id: String(n), event: 'tick', data: { n } }
      if (to === 13) throw TICKS_STOPPED()
    })()
  },
})
const live = defineResource({
  summary: 'What is emitted',
  path: '/live',
  response: events(Type.Object({ n: Type.Integer() })),
  async *perform(_, { signal }): AsyncGenerator<Tick> {
    for await (const [n] of on(news, 'tick', { signal })) yield { data: { n } }
  },
})
const service = {
  name: 'clock',
  modules: { clock: defineModule({ prefix: '/clock', resources: { ticks, live } }) },
} satisfies ServiceDefinition
const clock = defineService(service)

type Clock = Client<typeof clock>['clock']

/** @param hand what its service has itself, made of that of the other one */
async function call(
  t: Test,
  options: ClientOptions,
  hand: (clock: Clock) => ResourceTable = () => ({}),
) {
  const client = createClient<typeof clock>({ retry: false, breaker: false, ...options })
  const { app } = await createService(t, hand(client.clock), { name: 'orders' })
  return { app, clock: client.clock, run: <T>(fn: () => T) => app.run(fn) }
}

async function serve(t: Test) {
  const { app: there } = await createService(t, {}, service)
  return { there, url: await there.listen({ host: '127.0.0.1', port: 0 }) }
}

/** A client of a server that answers the asks for ticks in turn by `answers`. */
async function callBroken(
  t: Test,
  answers: ((response: ServerResponse) => void)[],
  change: (contract: string) => string = (text) => text,
  hand?: (clock: Clock) => ResourceTable,
) {
  const { app: there } = await createService(t, {}, service)
  const { url, got } = await serveUpstream(t, (response, _, count) =>
    answers[count - 1]?.(response),
  )
  const contract = JSON.parse(change(JSON.stringify(contractOf(there, { name: 'clock' }))))
  return { got, ...(await call(t, { url, contract }, hand)) }
}

const begin = (response: ServerResponse, text: string, sent?: () => void) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.write(text, sent)
  return response
}

async function collect<T>(events: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const one of events) all.push(one)
  return all
}

t.test('events of another service are those that it tells, until there are no more', async (t) => {
  const { there, url } = await serve(t)
  const { clock, run } = await call(t, { url })
  const asked = { from: 1, to: 3 }
  const told: Tick[] = await collect(await run(() => clock.ticks(asked)))
  t.strictSame(told, await collect(await there.run(() => ticks(asked))))
  t.strictSame(told[2], { id: '3', event: 'tick', data: { n: 3 } })
})

t.test(
  'a failure before the first event is that of the call, one after it that of the events',
  async (t) => {
    const { url } = await serve(t)
    const { clock, run } = await call(t, { url })
    t.match(await failure(run(() => clock.ticks({ from: 2, to: 1 }))), { code: 'TICKS_STOPPED' })
    t.match(await failure(run(() => clock.ticks({ from: 'x' as never, to: 1 }))), {
      code: 'INVALID_REQUEST',
    })
    const seen: number[] = []
    const all = run(async () => {
      for await (const { data } of await clock.ticks({ from: 12, to: 13 })) seen.push(data.n)
    })
    t.match(await failure(all), { code: 'TICKS_STOPPED', message: 'The ticks have stopped' })
    t.strictSame(seen, [12, 13])
  },
)

t.test('where the connection is lost it goes on behind the last event', async (t) => {
  const { got, clock, run } = await callBroken(t, [
    (response) => {
      const text = 'retry: 1\nid: ü\ndata: {"n":1}\n\ndata: {"n"'
      begin(response, text, () => response.destroy())
    },
    (response) => answerJson(response, {}, 503),
    // As a process that ends: a whole answer, and nothing that says that it is the end.
    (response) =>
      begin(response, ': open\n\nid: 2\r\ndata: {"n":2,\r\ndata: "more":1}\r\n\r\n').end(),
    (response) => begin(response, 'data: {"n":3}\n\n: end\n\n'),
  ])
  t.strictSame(await collect(await run(() => clock.ticks({ from: 1, to: 3 }))), [
    { retry: 1, id: 'ü', data: { n: 1 } },
    { id: '2', data: { n: 2 } },
    { data: { n: 3 } },
  ])
  const asked = got.map(({ headers }) => headers['last-event-id'])
  const first = Buffer.from('ü').toString('latin1')
  t.strictSame(asked, [undefined, first, first, '2'])
  t.ok(got[0]?.headers['x-timeout-ms'], 'who asks first says how long it waits for the head')
  t.equal(got[1]?.headers['x-timeout-ms'], undefined)
})

t.test('what cannot be asked again ends it with what it says', async (t) => {
  const { clock, run } = await callBroken(t, [
    (response) => begin(response, 'retry: 1\ndata: {"n":1}\n\n').end(),
    (response) =>
      answerJson(
        response,
        { result: false, code: 'NOT_FOUND', message: 'There is no event 1' },
        404,
      ),
  ])
  const all = run(async () => await collect(await clock.ticks({ from: 1, to: 3 })))
  t.match(await failure(all), { code: 'NOT_FOUND', message: 'There is no event 1' })
})

t.test('a service that is not heard of is asked again', async (t) => {
  const { clock, run } = await callBroken(
    t,
    [
      (response) => begin(response, 'retry: 1\ndata: {"n":1}\n\n'),
      (response) => begin(response, 'data: {"n":2}\n\n: end\n\n'),
    ],
    (contract) => contract.replaceAll('"heartbeat":15000', '"heartbeat":5'),
  )
  const told = await collect(await run(() => clock.ticks({ from: 1, to: 2 })))
  t.strictSame(
    told.map(({ data }) => data.n),
    [1, 2],
  )
})

t.test('events that were not agreed end it', async (t) => {
  const cases = [
    'data: {"n":"one"}\n\n',
    'data: <html>\n\n',
    `data: {"n":1,"x":"${'x'.repeat(2000)}"}`,
  ]
  for (const sent of cases) {
    const { app: there } = await createService(t, {}, service)
    const { url } = await serveUpstream(t, (response) => begin(response, sent))
    const contract = contractOf(there, { name: 'clock' })
    const { clock, run } = await call(t, { url, contract, maxBytes: 1000 })
    const all = run(async () => await collect(await clock.ticks({ from: 1, to: 2 })))
    t.match(await failure(all), { code: 'UPSTREAM_INVALID' })
  }
})

t.test('they end with the signal of the call, with who leaves, and with the app', async (t) => {
  const { there, url } = await serve(t)
  const { app, clock, run } = await call(t, { url })
  const listening = (count: number) => poll(async () => news.listenerCount('tick') === count)
  const ways: [name: string, end: (stop: AbortController) => unknown][] = [
    ['signal', (stop) => stop.abort(new Error('enough'))],
    ['app', () => app.close()],
  ]
  for (const [name, end] of ways) {
    const stop = new AbortController()
    const first = createGate()
    const all = run(async () => {
      for await (const { data } of await clock.live({}, { signal: stop.signal }))
        first.open(data.n as never)
      return 'ended'
    })
    await listening(1)
    news.emit('tick', 1)
    await first.opened
    await end(stop)
    t.equal(await all, 'ended', name)
    await listening(0)
  }
  const again = await call(t, { url })
  const left = again.run(async () => {
    for await (const _ of await again.clock.live()) break
    return 'left'
  })
  await listening(1)
  news.emit('tick', 1)
  t.equal(await left, 'left')
  await listening(0)
  t.equal((await there.inject('/ping')).statusCode, 200)
})

t.test('a module in another process tells its events, too', async (t) => {
  const { url } = await serve(t)
  const { app } = await createService(
    t,
    {},
    {
      ...service,
      variables: { PLINTH_REMOTES: `clock=${url}` },
    },
  )
  const told = await collect(await app.run(() => ticks({ from: 1, to: 2 })))
  t.strictSame(
    told.map(({ id }) => id),
    ['1', '2'],
  )
})

t.test('in process they end with the signal of the call, too', async (t) => {
  const { app } = await createService(t, {}, service)
  const stop = new AbortController()
  const all = app.run(async () => await collect(await live({}, { signal: stop.signal })))
  await poll(async () => news.listenerCount('tick') === 1)
  stop.abort(new Error('enough'))
  await t.rejects(all, { name: 'AbortError' })
  t.equal(news.listenerCount('tick'), 0)
})

t.test('where no event has come yet it goes on behind the last one of its client', async (t) => {
  const handed = (clock: Clock) =>
    defineResource({
      summary: 'Ticks of the clock',
      path: '/ticks',
      response: ticks.response,
      perform: () => clock.ticks({ from: 1, to: 42 }),
    })
  const { app, got } = await callBroken(
    t,
    [
      // What has no id moves nobody on.
      (response) => begin(response, 'retry: 1\ndata: {"n":41}\n\n').end(),
      (response) => begin(response, 'id: 42\ndata: {"n":42}\n\n: end\n\n'),
    ],
    undefined,
    (clock) => ({ handed: handed(clock) }),
  )
  const headers = { 'last-event-id': '41' }
  const { body } = await app.inject({ url: '/things/ticks', headers })
  t.match(body, /^: open\n\nretry: 1\ndata: .*\n\nid: 42\n/)
  t.strictSame(
    got.map(({ headers }) => headers['last-event-id']),
    ['41', '41'],
  )
})

t.test('what is asked for the head of its answer alone asks for no events', async (t) => {
  const { url } = await serve(t)
  const limit = { connections: 1, waiting: 1 }
  const api = defineApi({ name: 'clock', baseUrl: url, limit })
  const describe = (name: string) => ({
    summary: name,
    path: `/${name}`,
    response: live.response,
  })
  const listen = api.resource({ ...describe('live'), path: '/clock/live' })
  const { app, clock, run } = await call(t, { url, limit }, (clock) => ({
    listen,
    service: defineResource({ ...describe('service'), perform: () => clock.live() }),
    api: defineResource({ ...describe('api'), perform: () => listen() }),
  }))
  for (const path of ['service', 'service', 'api', 'api']) {
    const { statusCode } = await app.inject({ method: 'HEAD', url: `/things/${path}` })
    t.equal(statusCode, 200, path)
  }
  const told = await collect(await run(() => clock.ticks({ from: 1, to: 1 })))
  t.equal(told.length, 1)
  await poll(async () => news.listenerCount('tick') === 0)
})
