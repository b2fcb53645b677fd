import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import deadlinePlugin from '../../plugins/deadline.ts'
import envelopePlugin from '../../plugins/envelope.ts'
import { currentContext } from '../../src/resource/context.ts'
import { createGate } from '../helpers/app.ts'
import { ask, listen, open, parse, request, send } from '../helpers/wire.ts'

const never = new Promise(() => {})
const json = { 'Content-Type': 'application/json' }

async function serve(t: Test, addRoutes: (app: FastifyInstance) => void, timeout = 50) {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(envelopePlugin)
  await app.register(deadlinePlugin, { timeout })
  addRoutes(app)
  return listen(app)
}

t.test('a route that never answers is 504, with a body that has been read too', async (t) => {
  const port = await serve(t, (app) => {
    app.get('/', () => never)
    app.post('/', () => never)
  })
  for (const answer of [await ask(port, 'GET /'), await ask(port, 'POST /', json, '{}')]) {
    t.equal(answer.status, 504)
    t.match(answer.json(), {
      code: 'DEADLINE_EXCEEDED',
      message: 'There was no answer within the deadline of 50 ms',
    })
  }
})

t.test('a client that is late is 408', async (t) => {
  const port = await serve(t, (app) => app.post('/', async () => 'done'))
  const head = request('POST /', { ...json, 'Content-Length': '50' })
  const answer = parse(await send(port, `${head}{"name":`))
  t.equal(answer.status, 408)
  t.match(answer.json(), { code: 'REQUEST_TIMEOUT' })
})

t.test('a route may have a deadline of its own, or none', async (t) => {
  const gate = createGate()
  const port = await serve(t, (app) => {
    app.get('/short', { config: { deadline: 5 } }, () => never)
    app.get('/none', { config: { deadline: 0 } }, () => gate.opened.then(() => 'done'))
  })
  const patient = ask(port, 'GET /none')
  t.match((await ask(port, 'GET /short')).json(), { message: /deadline of 5 ms/ })
  t.equal((await ask(port, 'GET /short')).status, 504)
  gate.open()
  t.equal((await patient).status, 200)
})

t.test('what a route is given stays as it is: another app has a deadline of its own', async (t) => {
  const options = { config: {} }
  await serve(t, (app) => app.get('/', options, () => 'now'), 0)
  const port = await serve(t, (app) => app.get('/', options, () => never))
  t.match((await ask(port, 'GET /')).json(), { message: /deadline of 50 ms/ })
  t.strictSame(
    Object.keys(options.config).filter((key) => key === 'deadline'),
    [],
  )
})

t.test('an answer on its way is not cut off', async (t) => {
  const gate = createGate()
  const port = await serve(
    t,
    (app) =>
      app.get('/', (_, reply) => {
        reply.hijack()
        reply.raw.write('first,')
        gate.opened.then(() => reply.raw.end('second'))
      }),
    5,
  )
  const { socket, received } = await open(port)
  const ended = new Promise((resolve) => socket.once('end', resolve))
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  // The later timer of the same length runs after that of the route.
  await new Promise((resolve) => socket.once('data', resolve))
  await new Promise((resolve) => setTimeout(resolve, 10))
  gate.open()
  await ended
  t.match(received(), /first,(\r|\n|.)*second/)
})

t.test('HEAD counts once, and an answer in time leaves no timer', async (t) => {
  const port = await serve(t, (app) => app.get('/', async () => 'done'), 60_000)
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  t.equal((await ask(port, 'HEAD /')).status, 200)
  t.equal((await ask(port, 'GET /')).status, 200)
  t.equal(timers(), before)
})

t.test('the time of a request begins with it: hooks are part of it', async (t) => {
  const port = await serve(t, (app) => {
    app.addHook('onRequest', async ({ url }) => {
      if (url !== '/quick') await never
    })
    app.get('/', async () => 'done')
    app.get('/quick', { config: { deadline: 60_000 } }, async () => 'done')
    app.get('/own', { config: { deadline: 5 } }, async () => 'done')
    app.setErrorHandler((error: { code?: string }, _, reply) =>
      reply.send({ code: error.code, id: currentContext()?.requestId }),
    )
  })
  t.equal((await ask(port, 'GET /quick')).body, 'done')
  for (const path of ['/', '/own']) {
    const answer = await ask(port, `GET ${path}`)
    t.match(answer.json(), { code: 'DEADLINE_EXCEEDED', id: /^req-/ }, 'told in its context')
  }
})

t.test('a deadline that no timer can be set for is refused at boot', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(deadlinePlugin, { timeout: 50 })
  const add = () => app.get('/', { config: { deadline: Number.POSITIVE_INFINITY } }, () => 'done')
  t.throws(add, { code: 'RESOURCE_INVALID', message: /GET \/.*its deadline is Infinity/ })
})

t.test('a client that waits less is told of its own deadline', async (t) => {
  const seen: number[] = []
  const port = await serve(
    t,
    (app) => {
      app.get('/', () => {
        seen.push((currentContext()?.expires ?? 0) - performance.now())
        return never
      })
      app.get('/none', { config: { deadline: 0 } }, () => never)
      app.get('/now', async () => 'done')
    },
    60_000,
  )
  const within = (path: string, wanted: string) =>
    ask(port, `GET ${path}`, { 'X-Timeout-Ms': wanted })
  t.match((await within('/', '20')).json(), {
    code: 'DEADLINE_EXCEEDED',
    message: 'There was no answer within the deadline of 20 ms',
  })
  t.ok((seen[0] as number) <= 20, 'what waits for something knows it')
  t.equal((await within('/none', '20')).status, 504, 'also where the route has none')
  for (const bad of ['0', '-5', '1.5', 'soon', '', '1e3', '99999999999', '5, 5'])
    t.equal((await within('/now', bad)).status, 200, bad)
})

t.test('a client cannot have more time than there is', async (t) => {
  const port = await serve(t, (app) => app.get('/', () => never), 30)
  t.match((await ask(port, 'GET /', { 'X-Timeout-Ms': '60000' })).json(), {
    message: /deadline of 30 ms/,
  })
})
