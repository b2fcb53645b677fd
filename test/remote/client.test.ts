import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import signature from '../../plugins/signature.ts'
import { defineService } from '../../src/define-service.ts'
import { type ClientOptions, createClient } from '../../src/remote/client.ts'
import { Context, runInContext } from '../../src/resource/context.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { stream } from '../../src/resource/stream.ts'
import { UpstreamError } from '../../src/upstream/upstream-error.ts'
import { createGate, createService, failure } from '../helpers/app.ts'
import { answerJson, serveUpstream } from '../helpers/upstream.ts'

const SECRET = 's'.repeat(32)
const City = Type.Object({ id: Type.Integer({ minimum: 1 }), name: Type.String() })

let runs = 0
const started = { gate: createGate() }
const ended = { gate: createGate<unknown>() }

const retrieve = defineResource({
  summary: 'A city',
  path: '/:id',
  request: Type.Object({ id: City.properties.id }),
  response: City,
  cache: { ttl: 60_000, perUser: false },
  perform: ({ id }) => ({ id, name: `city ${++runs}` }),
})
const whoami = defineResource({
  summary: 'Who asks, with what',
  path: '/whoami',
  response: Type.Record(Type.String(), Type.Unknown()),
  perform: (_, { user, request }) => ({
    user: user?.id ?? null,
    app: request?.auth?.app ?? null,
    authorization: request?.headers.authorization ?? null,
    client: request?.headers['x-client'] ?? null,
    timeout: request?.headers['x-timeout-ms'] ?? null,
    id: request?.id ?? null,
  }),
})
const wait = defineResource({
  summary: 'Never ends by itself',
  path: '/wait',
  method: 'POST',
  async: true,
  async perform(_, { signal }) {
    started.gate.open()
    if (!signal.aborted) await once(signal, 'abort')
    ended.gate.open(signal.reason)
    throw signal.reason
  },
})
const download = defineResource({
  summary: 'Bytes',
  path: '/download',
  response: stream(),
  perform(_, { reply }) {
    reply?.type('text/csv')
    return Readable.from(['a,b\n', '1,2\n'])
  },
})
const hidden = defineResource({ summary: 'Hidden', expose: false, perform: () => null })
const plain = defineResource({ summary: 'No task', path: '/plain', perform: () => null })

const atlas = defineService({
  name: 'atlas',
  modules: {
    cities: defineModule({
      prefix: '/cities',
      resources: { retrieve, whoami, wait, download, hidden, plain },
    }),
  },
  plugins: [
    signature({
      secrets: { orders: SECRET },
      actFor: ['orders'],
      loadUser: (id) => (id === 'nobody' ? undefined : { id }),
    }),
  ],
})
type Atlas = typeof atlas

async function serveAtlas(t: Test, more: object = {}) {
  const { app } = await createService(t, {}, { ...atlas, ...more } as never)
  // As a service with `auth` asks: here everybody may call, and is known where it says who it is.
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return { app, url }
}

/** A service that calls `url`. */
async function serveOrders(t: Test, options: ClientOptions, variables: NodeJS.ProcessEnv = {}) {
  const { app } = await createService(t, {}, { name: 'orders', version: '1.2.0', variables })
  const client = createClient<Atlas>({ retry: false, breaker: false, ...options })
  return { app, client, run: <T>(fn: () => T) => app.run(fn) }
}

/** A folder that the services of the test leave alone. */
function ownFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'plinth-client-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}

/** Runs `fn` as in a request of `app` with those headers and that user. */
async function inRequest<T>(
  app: FastifyInstance,
  headers: Record<string, string>,
  user: string | undefined,
  fn: () => Promise<T>,
): Promise<T> {
  const context = new Context(app, { headers, id: 'request-7', server: app } as never)
  context.user = user === undefined ? undefined : { id: user }
  return await runInContext(context, fn, undefined, undefined)
}

t.test('the resources of another service, as they are called there', async (t) => {
  const { url } = await serveAtlas(t)
  const { client, run } = await serveOrders(t, { url })
  const city: { id: number; name: string } = await run(() => client.cities.retrieve({ id: 1 }))
  t.match(city, { id: 1, name: /^city / })
  const many = await run(() =>
    client.cities.retrieve.bulk([{ id: 1 }, { id: 0 }], { settled: true }),
  )
  t.strictSame(many[0], { status: 'fulfilled', value: city })
  t.match(many[1], { status: 'rejected', reason: { code: 'INVALID_REQUEST' } })
  // @ts-expect-error it has an id
  t.match(await failure(run(() => client.cities.retrieve({}))), {
    code: 'INVALID_REQUEST',
    message: 'The request to cities.retrieve is not valid; see errors',
    errors: [{ path: '/id', message: 'is required' }],
  })
  t.match(await failure(run(() => client.cities.hidden())), { code: 'REMOTE_INVALID' })
  t.match(await failure(run(() => client.cities.retrieve.invalidate({ id: 1 }))), {
    code: 'REMOTE_INVALID',
    message: /call refresh/,
  })
  t.match(await failure(client.cities.retrieve({ id: 1 })), { code: 'CONTEXT_MISSING' })
  t.equal(await Promise.resolve(client as object), client, 'it is no promise')
})

t.test('a contract that is not to be had is asked for again', async (t) => {
  let up = false
  const contract = {
    contract: 1,
    service: 'x',
    version: '1',
    envelope: 'standard',
    tasks: null,
    resources: {
      'cities.plain': {
        ...{ method: 'GET', path: '/plain', query: [], status: 200, errors: [], async: false },
        request: { type: 'object', properties: {} },
        response: { type: 'null' },
      },
    },
  }
  const upstream = await serveUpstream(t, (response, { url }) => {
    if (!up) answerJson(response, {}, 503)
    else if (url === '/contract.json') answerJson(response, contract)
    else answerJson(response, { result: true, code: 0, data: null, message: null })
  })
  const { client, run } = await serveOrders(t, { url: upstream.url })
  t.equal((await failure(run(() => client.cities.plain()))).code, 'UPSTREAM_UNAVAILABLE')
  up = true
  const both = () => Promise.all([client.cities.plain(), client.cities.plain()])
  t.strictSame(await run(both), [null, null])
  const asked = upstream.got.filter(({ url }) => url === '/contract.json')
  t.equal(asked.length, 2, 'once after that')
  t.match(await failure(run(() => client.cities.wait.enqueue())), { code: 'REMOTE_INVALID' })
})

t.test('who asks first for a contract may leave, the others have it', async (t) => {
  const { app: served } = await serveAtlas(t)
  const contract = (await served.inject('/contract.json')).json()
  const [asked, answered] = [createGate(), createGate()]
  const upstream = await serveUpstream(t, async (response, { url }) => {
    if (url !== '/contract.json')
      return answerJson(response, { result: true, code: 0, data: null, message: null })
    asked.open()
    await answered.opened
    answerJson(response, contract)
  })
  const { client, run, app } = await serveOrders(t, { url: upstream.url })
  const given = new AbortController()
  const first = runInContext(
    new Context(app).withSignal(given.signal),
    () => client.cities.plain(),
    undefined,
    undefined,
  )
  const second = run(() => client.cities.plain())
  await asked.opened
  given.abort(new Error('the client has gone'))
  await t.rejects(first, { message: 'the client has gone' })
  answered.open()
  t.equal(await second, null)
  t.equal(upstream.got.filter(({ url }) => url === '/contract.json').length, 1)
  t.throws(() => client.cities.plain.task(), {
    code: 'REMOTE_INVALID',
    message: /no part of a chain or group/,
  })
})

t.test('a contract may be a file, and has to be one', async (t) => {
  const { app, url } = await serveAtlas(t)
  const folder = ownFolder(t)
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return pathToFileURL(join(folder, name))
  }
  const contract = write('contract.json', (await app.inject('/contract.json')).body)
  const { client, run } = await serveOrders(t, { url, contract })
  t.equal(await run(() => client.cities.plain()), null)
  const broken = JSON.parse((await app.inject('/contract.json')).body)
  broken.resources['cities.plain'].query = null
  for (const text of [
    '{',
    '{}',
    '{"contract": 7, "service": "a", "resources": {}}',
    '{"contract": 1, "service": "a", "envelope": "standard", "tasks": null, "resources": {"a": null}}',
    JSON.stringify(broken),
  ]) {
    const bad = await serveOrders(t, { url, contract: write('bad.json', text) })
    t.match(await failure(bad.run(() => bad.client.cities.plain())), {
      code: 'REMOTE_INVALID',
      message: /its contract: /,
    })
  }
  const gone = await serveOrders(t, { url, contract: new URL('gone.json', contract) })
  t.match(await failure(gone.run(() => gone.client.cities.plain())), {
    code: 'REMOTE_INVALID',
    message: /ENOENT/,
  })
  const own = {
    contract: 1,
    service: 'a',
    version: '1',
    envelope: 'own',
    tasks: null,
    resources: {},
  } as const
  t.throws(() => createClient<Atlas>({ url, contract: own }), { code: 'REMOTE_INVALID' })
  t.throws(() => createClient<Atlas>({ url, contract: broken }), {
    code: 'REMOTE_INVALID',
    message: /its contract: it is no contract: \/resources\/cities\.plain\/query must be array/,
  })
  t.throws(() => createClient<Atlas>({ url: 'ftp://atlas' }), {
    code: 'API_INVALID',
    message: /its url is no URL/,
  })
})

t.test('it answers in any form of the kit', async (t) => {
  for (const form of [{ envelope: 'problem' }, { compat: 'bk' }]) {
    const { url } = await serveAtlas(t, form)
    const { client, run } = await serveOrders(t, { url })
    t.match(await run(() => client.cities.retrieve({ id: 3 })), { id: 3 })
    const request = { id: 1, extra: 1 } as { id: number }
    t.equal((await failure(run(() => client.cities.retrieve(request)))).code, 'INVALID_REQUEST')
  }
})

t.test('who calls, for whom, and until when', async (t) => {
  const { url } = await serveAtlas(t, {
    auth: true,
    modules: {
      cities: defineModule({
        prefix: '/cities',
        auth: 'optional',
        resources: { retrieve, whoami },
      }),
    },
  })
  const ask = async (options: Partial<ClientOptions>, headers = {}, user?: string) => {
    const { app, client } = await serveOrders(t, { url, ...options })
    return await inRequest(app, headers, user, () => client.cities.whoami())
  }
  const { timeout, ...nobody } = await ask({}, { authorization: 'Basic x', cookie: 'a=b' }, 'ann')
  t.strictSame(nobody, {
    user: null,
    app: null,
    authorization: null,
    client: 'orders/1.2.0',
    id: 'request-7',
  })
  t.equal(timeout, '10000')
  t.match(await ask({ auth: 'caller', timeout: 5000 }, { authorization: 'Basic x' }), {
    authorization: 'Basic x',
    timeout: '5000',
  })
  const signed = { signature: { app: 'orders', secret: SECRET } }
  t.match(await ask({ auth: signed }, {}, 'ann'), { user: 'app:orders', app: 'orders' })
  const acting = { auth: { ...signed, actFor: true } } as const
  t.match(await ask(acting, {}, 'Zoë'), { user: 'Zoë', app: 'orders' })
  t.match(await ask(acting), { user: 'app:orders', app: 'orders' })
  t.match(await failure(ask(acting, {}, 'nobody')), { code: 'UPSTREAM_REFUSED' })
})

t.test('the cache of the other service is passed by those that sign', async (t) => {
  const { url } = await serveAtlas(t, {
    auth: true,
    modules: {
      cities: defineModule({ prefix: '/cities', auth: 'optional', resources: { retrieve } }),
    },
  })
  const auth = { signature: { app: 'orders', secret: SECRET } }
  const { client, run } = await serveOrders(t, { url, auth })
  const first = await run(() => client.cities.retrieve({ id: 5 }))
  t.strictSame(await run(() => client.cities.retrieve({ id: 5 })), first)
  const fresh = await run(() => client.cities.retrieve.refresh({ id: 5 }))
  t.not(fresh.name, first.name)
  t.strictSame(await run(() => client.cities.retrieve({ id: 5 })), fresh)
  t.not((await run(() => client.cities.retrieve.cacheless({ id: 5 }))).name, fresh.name)
  const stranger = await serveOrders(t, { url })
  t.strictSame(await stranger.run(() => stranger.client.cities.retrieve.refresh({ id: 5 })), fresh)
})

t.test('a call ends with its caller, and so does the work for it', async (t) => {
  const { url } = await serveAtlas(t)
  const { app, client, run } = await serveOrders(t, { url })
  await run(() => client.cities.plain())
  const begin = () => {
    started.gate = createGate()
    ended.gate = createGate<unknown>()
  }
  begin()
  const late = await failure(run(() => client.cities.wait({}, { timeout: 1500 })))
  t.match(late, { code: 'DEADLINE_EXCEEDED' })
  // Ours, or that of the other service, which was told what was left of it: whichever is heard of first.
  const limit = Number(/deadline of (\d+) ms/.exec(late.message)?.[1])
  t.ok(limit > 0 && limit <= 1500, late.message)
  t.ok(await ended.gate.opened, 'the other service has stopped, too')
  begin()
  const given = new AbortController()
  const waiting = run(() => client.cities.wait({}, { signal: given.signal }))
  await started.gate.opened
  given.abort(new Error('no more'))
  await t.rejects(waiting, { message: 'no more' })
  t.ok(await ended.gate.opened)
  begin()
  const bounded = new Context(app).withSignal(new AbortController().signal, 80)
  const over = await failure(
    runInContext(bounded, () => client.cities.wait({}), undefined, undefined),
  )
  t.match(over, { code: 'DEADLINE_EXCEEDED' }, 'told by the other service, whose deadline it was')
})

t.test('a call ends at its own deadline where nothing is heard of it', async (t) => {
  const { app } = await serveAtlas(t)
  const contract = (await app.inject('/contract.json')).json()
  const { url } = await serveUpstream(t, () => {})
  const { client, run } = await serveOrders(t, { url, contract })
  const late = await failure(run(() => client.cities.wait({}, { timeout: 150 })))
  t.match(late, { code: 'DEADLINE_EXCEEDED', message: /deadline of 150 ms/ })
})

t.test('tasks of the other service', async (t) => {
  const { app: served, url } = await serveAtlas(t)
  const { client, run } = await serveOrders(t, { url })
  started.gate = createGate()
  const task = await run(() => client.cities.wait.enqueue())
  await started.gate.opened
  t.match(await run(() => task.status()), { task_id: task.task_id, state: 'running' })
  t.equal(await run(() => task.cancel()), true)
  t.match(await failure(run(() => task.result())), { code: 'TASK_CANCELLED' })
  t.equal(await run(() => task.cancel()), false)
  t.match(await served.tasks.status(task.task_id), { state: 'cancelled' })
  const refused = (fn: () => Promise<unknown>) => failure(run(fn))
  t.match(await refused(() => client.cities.plain.enqueue()), {
    code: 'REMOTE_INVALID',
    message: /async: true/,
  })
  t.match(await refused(() => client.cities.wait.enqueue({}, { user: 'ann' })), {
    code: 'REMOTE_INVALID',
    message: /by auth, not by user/,
  })
})

t.test('a stream is handed on as it comes', async (t) => {
  const { url } = await serveAtlas(t)
  const { client, run } = await serveOrders(t, { url })
  const bytes = await run(() => client.cities.download())
  t.match(bytes.headers, { 'content-type': /^text\/csv/ })
  t.equal(await text(bytes), 'a,b\n1,2\n')
})

t.test('what may be repeated is, a task is not added twice', async (t) => {
  const { app } = await serveAtlas(t, { async: true })
  const contract = (await app.inject('/contract.json')).json()
  const upstream = await serveUpstream(t, (response) => answerJson(response, {}, 503))
  const options = { url: upstream.url, contract, retry: { attempts: 3, delay: 1 } }
  const { client, run } = await serveOrders(t, options)
  t.match(await failure(run(() => client.cities.retrieve({ id: 1 }))), {
    code: 'UPSTREAM_UNAVAILABLE',
  })
  t.equal(upstream.got.length, 3)
  t.match(await failure(run(() => client.cities.retrieve.enqueue({ id: 1 }))), {
    code: 'UPSTREAM_UNAVAILABLE',
  })
  t.equal(upstream.got.length, 4)
  t.match(upstream.got[3], { headers: { 'x-async-task': '1' } })
})

t.test('what is no answer of it', async (t) => {
  const { app } = await serveAtlas(t)
  const contract = (await app.inject('/contract.json')).json()
  const told = async (answer: Parameters<typeof serveUpstream>[1]) => {
    const { url } = await serveUpstream(t, answer)
    const { client, run } = await serveOrders(t, { url, contract })
    return await run(() => client.cities.retrieve({ id: 1 })).catch((error: unknown) => error)
  }
  const html = await told((response) => response.writeHead(200).end('<html>'))
  t.ok(UpstreamError.is(html))
  t.match(html, {
    code: 'UPSTREAM_INVALID',
    upstream: { operation: 'cities.retrieve', api: /^127/ },
  })
  const success = (data: unknown) => ({ result: true, code: 0, data, message: null })
  t.match(await told((response) => answerJson(response, success({ id: 'x' }))), {
    code: 'UPSTREAM_INVALID',
  })
  const more = { id: 2, name: 'x', more: 1 }
  t.strictSame(await told((response) => answerJson(response, success(more))), { id: 2, name: 'x' })
  const failed = { result: false, message: 'gone', errors: null, data: null }
  t.match(
    await told((response) => answerJson(response, { ...failed, code: 'ROUTE_NOT_FOUND' }, 404)),
    {
      code: 'UPSTREAM_REFUSED',
      statusCode: 502,
    },
  )
  const { client, run } = await serveOrders(t, { url: 'http://127.0.0.1:1', contract })
  t.match(await failure(run(() => client.cities.plain())), { code: 'UPSTREAM_UNAVAILABLE' })
})

t.test('which resources of others a service calls is written down', async (t) => {
  const { url } = await serveAtlas(t)
  const file = join(ownFolder(t), 'uses.json')
  for (const call of ['plain', 'whoami'] as const) {
    const { app, client, run } = await serveOrders(t, { url }, { REMOTE_USES: file })
    await run(() => client.cities[call]())
    await app.close()
  }
  t.strictSame(JSON.parse(readFileSync(file, 'utf8')), {
    client: 'orders/1.2.0',
    uses: { atlas: ['cities.plain', 'cities.whoami'] },
  })
})
