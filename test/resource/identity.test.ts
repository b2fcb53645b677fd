import jwt from '@fastify/jwt'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import t from 'tap'
import { Type } from 'typebox'
import { currentContext } from '../../src/resource/context.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService, serveThings } from '../helpers/app.ts'
import { logged, onEach, serve } from './attached.ts'

/** The header `x-claims` is what a token says: JSON, put into `request.user` as `@fastify/jwt` does. */
function tokens(app: FastifyInstance): void {
  app.addHook('onRequest', async (request) => {
    const claims = request.headers['x-claims']
    if (typeof claims === 'string') Object.assign(request, { user: JSON.parse(claims) })
  })
}

type Claims = Record<string, unknown> | string | number | boolean | null

const as = (claims: Claims) => ({ 'x-claims': JSON.stringify(claims) })

/** What costs whom how much: each user has another price. */
const price = defineResource({
  summary: 'The price for who asks',
  response: Type.Unknown(),
  cache: { ttl: 3_600_000 },
  async: true,
  perform: (_, { user }) => ({ ...user }),
})

async function ask(app: FastifyInstance, claims: Claims) {
  return (await app.inject({ url: '/things', headers: as(claims) })).json().data
}

onEach(t, 'the subject of a token is the user', async (t, attached) => {
  const app = await serve(t, attached, { price }, { plugin: tokens })
  for (const round of ['computed', 'cached']) {
    const ann = { sub: 'ann', role: 'customer' }
    t.strictSame(await ask(app, ann), { ...ann, id: 'ann' }, round)
    const bob = { sub: 'bob', role: 'customer' }
    t.strictSame(await ask(app, bob), { ...bob, id: 'bob' }, round)
    const named = { sub: 'x', id: 'cid', name: 'Cid' }
    t.strictSame(await ask(app, named), named, `${round}: an id is the id`)
    t.strictSame(await ask(app, { sub: 'y', id: 7 }), { sub: 'y', id: 'y' }, round)
    t.strictSame(await ask(app, null), {}, `${round}: nobody`)
  }
})

const NONE: Claims[] = [
  { role: 'customer', token: 's3cret' },
  { id: '', token: 's3cret' },
  { id: 7, token: 's3cret' },
  { id: null, sub: '', token: 's3cret' },
  { name: 'ann', token: 's3cret' },
  {},
  's3cret',
  true,
  0,
]

onEach(t, 'a user without an id is refused by every route', async (t, attached) => {
  let runs = 0
  const count = { response: Type.Integer(), perform: () => ++runs }
  const plain = defineResource({ summary: 'Plain', path: '/plain', ...count })
  const shared = { ttl: 3_600_000, perUser: false }
  const warm = defineResource({ summary: 'Warm', path: '/warm', cache: shared, ...count })
  const { logs, server } = logged()
  const app = await serve(t, attached, { price, plain, warm }, { plugin: tokens, server })
  const { task_id } = await app.run(() => plain.enqueue())
  await app.tasks.result(task_id)
  await app.inject('/things/warm')
  const before = runs
  const task = { 'x-async-task': '1' }
  const calls = [
    ['/things', {}],
    ['/things', task],
    ['/things/plain', {}],
    ['/things/warm', {}],
    [`/tasks/${task_id}`, {}],
  ] as const
  for (const claims of NONE) {
    for (const [url, more] of calls) {
      logs.length = 0
      const response = await app.inject({ url, headers: { ...as(claims), ...more } })
      const name = `${url} as ${JSON.stringify(claims)}`
      t.strictSame([response.statusCode, response.json().code], [500, 'USER_INVALID'], name)
      const lines = logs.filter(({ level }) => level === 50)
      t.match(lines, [{ code: 'USER_INVALID' }], name)
      const { err } = lines[0] as unknown as { err: { message: string } }
      const has = typeof claims === 'object' ? Object.keys(claims ?? {}).join(', ') : typeof claims
      t.ok(err.message.includes(has), `${name}: ${err.message}`)
      t.notMatch(JSON.stringify([lines, response.body]), 's3cret')
    }
  }
  t.equal(runs, before, 'nothing was done')
})

onEach(
  t,
  'one function tells who asks: equal names in two tenants are two',
  async (t, attached) => {
    const identify = (request: FastifyRequest) => {
      const { user } = request as { user?: { sub: string; tenant: string } }
      return user && { id: JSON.stringify([user.tenant, user.sub]), name: user.sub }
    }
    const app = await serve(t, attached, { price }, { plugin: tokens, resources: { identify } })
    for (const tenant of ['a', 'b', 'a', 'b'])
      t.match(await ask(app, { sub: 'ann', tenant }), { id: `["${tenant}","ann"]`, name: 'ann' })
    const url = '/things'
    const headers = { ...as({ sub: 'ann', tenant: 'a' }), 'x-async-task': '1' }
    const { task_id } = (await app.inject({ url, headers })).json().data
    const status = async (tenant: string) =>
      (await app.inject({ url: `/tasks/${task_id}`, headers: as({ sub: 'ann', tenant }) }))
        .statusCode
    t.strictSame([await status('a'), await status('b')], [200, 404])
  },
)

onEach(t, 'no id can be made to look like another key', async (t, attached) => {
  const entry = defineResource({
    summary: 'Entry',
    request: Type.Object({ q: Type.String() }),
    response: Type.String(),
    cache: { ttl: 3_600_000, key: ({ q }) => Number(q) },
    perform: ({ q }, { user }) => `${user?.id} ${q}`,
  })
  const app = await serve(t, attached, { entry }, { plugin: tokens })
  const get = async (id: string, q: string) =>
    (await app.inject({ url: `/things?q=${q}`, headers: as({ id }) })).json().data
  const seen: string[] = []
  const peek = app.cache.peek.bind(app.cache)
  app.cache.peek = (key) => {
    seen.push(key)
    return peek(key)
  }
  t.equal(await get('ann', '5'), 'ann 5')
  const [key = ''] = seen
  // All that stands between the id and the end of the key, taken into an id.
  const rest = key.slice(key.indexOf('ann') + 3)
  const crafted = ['ann"', `ann${rest}`, `ann${rest.slice(0, -1)}`, 'ann\\', '-', '@ann']
  for (const id of [...crafted, 'a'.repeat(500), `${'a'.repeat(500)}b`])
    t.equal(await get(id, '5'), `${id} 5`)
  t.equal(new Set(seen).size, seen.length)
})

t.test('a context has the user that it was given, or none', async (t) => {
  const inner = defineResource({
    summary: 'Inner',
    path: '/inner',
    response: Type.String(),
    perform: (_, { user }) => user?.id ?? 'nobody',
  })
  const outer = defineResource({
    summary: 'Outer',
    response: Type.Array(Type.String()),
    async perform(_, context) {
      const told = [await inner()]
      context.user = { id: 'eve' }
      told.push(await inner(), await inner(undefined, { timeout: 1000 }))
      context.user = undefined
      told.push(await inner(), await inner(undefined, { timeout: 1000 }))
      return told
    },
  })
  const app = await serveThings(t, { inner, outer }, { plugin: tokens })
  t.strictSame(await ask(app, { sub: 'ann' }), ['ann', 'eve', 'eve', 'nobody', 'nobody'])
  app.run(() => {
    const context = currentContext()
    t.throws(() => Object.assign(context ?? {}, { user: { name: 'ann' } }), {
      code: 'USER_INVALID',
    })
    t.equal(context?.user, undefined)
  })
})

onEach(t, 'what is for everybody is computed for nobody', async (t, attached) => {
  const inner = defineResource({
    summary: 'Inner',
    path: '/inner',
    response: Type.String(),
    perform: (_, { user }) => user?.id ?? 'nobody',
  })
  const told: unknown[] = []
  const shared = defineResource({
    summary: 'Shared',
    response: Type.String(),
    cache: { ttl: 3_600_000, perUser: false },
    async perform(_, { user, request, reply }) {
      told.push(user, request, reply)
      return await inner()
    },
  })
  const anew = defineResource({
    summary: 'Anew',
    path: '/anew',
    response: Type.String(),
    perform: () => shared.refresh(),
  })
  const app = await serve(t, attached, { inner, shared, anew }, { plugin: tokens })
  t.equal(await ask(app, { sub: 'ann' }), 'nobody')
  const headers = as({ sub: 'bob' })
  t.equal((await app.inject({ url: '/things/anew', headers })).json().data, 'nobody')
  t.strictSame(told, Array(6).fill(undefined))
})

t.test('a service says who asks once, for all there is', async (t) => {
  const { app } = await createService(
    t,
    { price },
    {
      identify: ({ headers }) =>
        typeof headers['x-key'] === 'string' ? { id: `key ${headers['x-key']}` } : null,
      loadUser: (id) => ({ id }),
    },
  )
  const headers = { 'x-key': 'a', 'x-async-task': '1' }
  const { task_id } = (await app.inject({ url: '/things', headers })).json().data
  t.strictSame(await app.tasks.result(task_id), { id: 'key a' })
  const read = async (key: string) =>
    (await app.inject({ url: `/tasks/${task_id}`, headers: { 'x-key': key } })).statusCode
  t.strictSame([await read('a'), await read('b')], [200, 404])
})

t.test('@fastify/jwt, verified by a hook of the service, tells who asks everywhere', async (t) => {
  const auth = fp(async (app) => {
    await app.register(jwt, { secret: 'not known to anybody' })
    app.addHook('onRequest', async (request) => {
      if (request.headers.authorization) await request.jwtVerify()
    })
  })
  const loadUser = (id: string) => ({ id })
  const { app } = await createService(t, { price }, { plugins: [auth], loadUser })
  const bearer = (sub?: string) => {
    const token = app.jwt.sign({ role: 'customer', ...(sub && { sub }) })
    return { authorization: `Bearer ${token}` }
  }
  const get = async (url: string, headers: object) => {
    const response = await app.inject({ url, headers: { ...headers } })
    return [response.statusCode, response.json().data?.id ?? response.json().code]
  }
  for (const sub of ['ann', 'bob', 'ann'])
    t.strictSame(await get('/things', bearer(sub)), [200, sub])
  t.strictSame(await get('/things', bearer()), [500, 'USER_INVALID'])
  const headers = { ...bearer('ann'), 'x-async-task': '1' }
  const { task_id } = (await app.inject({ url: '/things', headers })).json().data
  t.strictSame(await app.tasks.result(task_id), { id: 'ann' })
  const status = async (headers: object) => (await get(`/tasks/${task_id}`, headers))[0]
  t.strictSame(await status(bearer('ann')), 200, 'the hook comes after the routes of tasks')
  t.strictSame([await status(bearer('bob')), await status({})], [404, 404])
})
