import { EventEmitter, on, once } from 'node:events'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { notFound } from '../../src/errors.ts'
import { watchConnections } from '../../src/process/connections.ts'
import { closeGracefully } from '../../src/process/shutdown.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { events, type ServerEvent } from '../../src/resource/stream.ts'
import { createGate, createService, failure } from '../helpers/app.ts'
import { poll } from '../helpers/network.ts'
import { ask, listen, open } from '../helpers/wire.ts'

const Tick = Type.Object({ n: Type.Integer() })

const define = <T>(perform: T, heartbeat?: number) =>
  defineResource({
    summary: 'Ticks',
    response: events(Tick, heartbeat === undefined ? {} : { heartbeat }),
    perform: perform as () => AsyncIterable<ServerEvent<{ n: number }>>,
  })

async function serve(
  t: Test,
  ticks: ReturnType<typeof define>,
  options: Parameters<typeof createService>[2] = {},
) {
  const { app, logs } = await createService(t, { ticks }, options)
  const connections = watchConnections(app.server)
  const port = await listen(app)
  const request = (headers = '', method = 'GET') =>
    `${method} /things HTTP/1.1\r\nHost: x\r\n${headers}\r\n`
  /** A client that has seen `text`. */
  const follow = async (text: string, headers = '') => {
    const client = await open(port)
    client.socket.write(request(headers))
    while (!client.received().includes(text)) await once(client.socket, 'data')
    return client
  }
  const line = async () => {
    const find = () => logs.find(({ msg }) => msg === 'request')
    await poll(async () => find() !== undefined)
    return find()
  }
  const close = () => closeGracefully(app, connections, 0)
  return { app, logs, port, request, follow, line, close }
}

/** The bodies of chunks, as they came. */
const bodyOf = (text: string) =>
  text
    .slice(text.indexOf('\r\n\r\n') + 4)
    .replaceAll(/[\da-f]+\r\n([^\r]*)\r\n/g, '$1')
    .replace(/^: open\n\n/, '')

t.test('events come as EventSource reads them', async (t) => {
  const ticks = define(async function* () {
    yield { data: { n: 1 } }
    yield { id: '7', event: 'tock', retry: 500, data: { n: 2 } }
    yield { id: 'ü', data: { n: 3 } }
  })
  const { port, line } = await serve(t, ticks)
  const { status, headers, body } = await ask(port, 'GET /things')
  t.equal(status, 200)
  t.match(headers, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  t.equal(
    bodyOf(`\r\n\r\n${body}`),
    'data: {"n":1}\n\nid: 7\nevent: tock\nretry: 500\ndata: {"n":2}\n\nid: ü\ndata: {"n":3}\n\n: end\n\n',
  )
  t.match(await line(), { status: 200, level: 30 })
})

t.test('the head comes before the first event, and a heartbeat while there is none', async (t) => {
  const bus = new EventEmitter()
  const ticks = define(async function* (_: unknown, { signal }: { signal: AbortSignal }) {
    for await (const [n] of on(bus, 'tick', { signal })) yield { data: { n } }
  }, 20)
  const { follow } = await serve(t, ticks)
  const { socket, received } = await follow(': open')
  t.match(received(), /^HTTP\/1.1 200 /)
  while ((received().match(/: \n\n/g) ?? []).length < 3) await once(socket, 'data')
  bus.emit('tick', 5)
  while (!received().includes('data: {"n":5}')) await once(socket, 'data')
  socket.destroy()
  await poll(async () => bus.listenerCount('tick') === 0)
})

t.test('a client that comes again says where it was', async (t) => {
  const history = ['a', 'b', 'ü']
  const ticks = define((_: unknown, { lastEventId: last }: { lastEventId?: string }) => {
    const start = last === undefined ? 0 : history.indexOf(last) + 1
    if (last !== undefined && start === 0) notFound('event', last)
    return (async function* () {
      for (const [n, id] of history.entries()) if (n >= start) yield { id, data: { n } }
    })()
  })
  const { app, port } = await serve(t, ticks)
  const get = async (id?: string) => {
    const { status, body } = await ask(
      port,
      'GET /things',
      id === undefined ? {} : { 'Last-Event-ID': id },
    )
    return { status, body: status === 200 ? bodyOf(`\r\n\r\n${body}`) : body }
  }
  t.equal((await get()).body.match(/data/g)?.length, 3)
  t.match(await get('a'), {
    status: 200,
    body: 'id: b\ndata: {"n":1}\n\nid: ü\ndata: {"n":2}\n\n: end\n\n',
  })
  t.notMatch((await get(Buffer.from('ü').toString('latin1'))).body, 'data', 'after the last one')
  const { status, body } = await get('of nobody')
  t.match([status, body], [404, /"code":"NOT_FOUND"/])
  const connections = () =>
    new Promise<number>((resolve) => app.server.getConnections((_, count) => resolve(count)))
  await poll(async () => (await connections()) === 0)
})

t.test('what fails is told as the last event, and in the log', async (t) => {
  const failing = define(async function* () {
    yield { data: { n: 1 } }
    throw new Error('the secret reason')
  })
  const { port, line } = await serve(t, failing)
  const { body } = await ask(port, 'GET /things')
  t.match(body, /data: {"n":1}\n\n[\s\S]*event: failure\ndata: {"result":false,"code":"INTERNAL"/)
  t.notMatch(body, 'secret')
  t.match(await line(), { status: 200, level: 50, err: { message: 'the secret reason' } })
})

t.test(
  'an event that does not fit ends it, in production what is not listed is left out',
  async (t) => {
    const wrong = define(async function* () {
      yield { data: { n: 1, more: 'x' }, id: 'a\nevent: forged\r\0' }
      yield { data: { n: 2 } }
    })
    const strict = await serve(t, wrong)
    t.match(
      (await ask(strict.port, 'GET /things')).body,
      /event: failure\ndata: .*INVALID_RESPONSE/,
    )
    const { port } = await serve(t, wrong, { variables: { NODE_ENV: 'production', DOCS: 'false' } })
    const { body } = await ask(port, 'GET /things')
    t.match(body, 'id: aevent: forged\ndata: {"n":1}\n\n')
    t.match(body, 'data: {"n":2}\n\n')
  },
)

t.test(
  'a client that leaves ends what waits, and one that does not read holds nothing back',
  async (t) => {
    let made = 0
    const ended = createGate()
    const ticks = define(async function* () {
      try {
        for (;;) yield { data: { n: made++ } }
      } finally {
        ended.open()
      }
    })
    const { port, request, logs, app } = await serve(t, ticks)
    const { socket } = await open(port)
    socket.pause()
    socket.write(request())
    let before = -1
    await poll(async () => {
      const isFull = made > 0 && made === before
      before = made
      return isFull
    })
    t.ok(made < 2_000_000, 'no more is made than the connection takes')
    socket.destroy()
    await ended.opened
    await poll(async () => logs.some(({ msg }) => msg === 'request'))
    t.equal((await app.inject('/ping')).statusCode, 200)
  },
)

t.test(
  'when the process ends they end as a whole, though they wait for something else',
  async (t) => {
    const ticks = define(async function* () {
      yield { data: { n: 1 } }
      await new Promise(() => {})
    })
    const { follow, close, line } = await serve(t, ticks)
    const { received, socket } = await follow('data: {"n":1}')
    const ended = once(socket, 'end')
    await close()
    await ended
    t.match(received(), /\r\n0\r\n\r\n$/)
    t.notMatch(received(), ': end', 'it may go on in another process')
    t.match(await line(), { status: 200, level: 30 })
  },
)

t.test('HEAD begins nothing; in process they are what perform returns', async (t) => {
  let begun = 0
  const ticks = define(async function* () {
    begun++
    yield { data: { n: 1 } }
  })
  const { app, port } = await serve(t, ticks)
  const { status, headers, body } = await ask(port, 'HEAD /things')
  t.strictSame([status, headers['content-type'], body], [200, 'text/event-stream', ''])
  t.equal(begun, 0)
  const found: number[] = []
  for await (const { data } of await app.run(() => ticks())) found.push(data.n)
  t.strictSame(found, [1])
})

t.test('a heartbeat that no timer can have is refused at boot', async (t) => {
  for (const heartbeat of [0, Number.NaN, Number.POSITIVE_INFINITY])
    t.match(await failure(createService(t, { ticks: define(() => {}, heartbeat) })), {
      code: 'RESOURCE_INVALID',
      message:
        /the heartbeat of its events is \w+; expected whole milliseconds, or a text like '30s' .* from 1/,
    })
})

t.test('the API document tells what each event is', async (t) => {
  const { app } = await serve(
    t,
    define(async function* () {}),
    { variables: { DOCS: 'true' } },
  )
  const { paths } = (await app.inject('/openapi.json')).json()
  const { parameters, responses } = paths['/things'].get
  t.match(parameters, [{ name: 'Last-Event-ID', in: 'header' }])
  const { schema } = responses[200].content['text/event-stream']
  t.match(schema, {
    type: 'object',
    required: ['data'],
    properties: { data: { type: 'object', properties: { n: { type: 'integer' } } }, id: {} },
  })
  t.notOk('stream' in schema || 'events' in schema)
})
