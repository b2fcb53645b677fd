import t, { type Test } from 'tap'
import { Type } from 'typebox'
import type { Versions } from '../../src/http/versions.ts'
import { createClient } from '../../src/remote/client.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService } from '../helpers/app.ts'
import { ask, listen } from '../helpers/wire.ts'

const request = Type.Object({ id: Type.Integer(), note: Type.Optional(Type.String()) })
const answers = (text: string) =>
  defineResource({
    summary: 'One order',
    path: '/:id',
    request,
    response: Type.String(),
    perform: ({ id, note }) => `${text} ${id} ${note ?? ''}`.trim(),
  })
const create = defineResource({
  summary: 'Order',
  method: 'POST',
  request: Type.Object({ name: Type.String() }),
  response: Type.String(),
  perform: ({ name }) => name,
})
const version = (prefix: string, text: string) =>
  defineModule({
    prefix,
    modules: {
      orders: defineModule({ prefix: '/orders', resources: { retrieve: answers(text), create } }),
      ...(text === 'two' && {
        carts: defineModule({ prefix: '/carts', resources: { retrieve: answers('cart') } }),
      }),
    },
  })
const plain = defineModule({ prefix: '/plain', resources: { retrieve: answers('plain') } })
const modules = { v1: version('/v1', 'one'), v2: version('/v2', 'two'), plain }
const prefixes = { '1': '/v1', '2': '/v2' }

async function serve(t: Test, versions: Versions) {
  const { app } = await createService(t, {}, { modules, versions })
  const port = await listen(app)
  /** The status, what is answered, and what it depends on. */
  return async (line: string, version?: string, header = 'X-API-Version') => {
    const { status, headers, json } = await ask(
      port,
      line,
      version === undefined ? {} : { [header]: version },
    )
    const { data, code } = json()
    return [status, status === 200 ? data : code, headers.vary ?? null]
  }
}

t.test('a header says which version of a path is meant', async (t) => {
  const get = await serve(t, { prefixes })
  const vary = 'x-api-version'
  t.strictSame(await get('GET /orders/5', '1'), [200, 'one 5', vary])
  t.strictSame(await get('GET /orders/5', '2'), [200, 'two 5', vary])
  t.strictSame(await get('GET /orders/5/', '2'), [200, 'two 5', vary])
  t.strictSame(await get('GET /orders/5?note=a%2Fb', '2'), [200, 'two 5 a/b', vary])
  t.strictSame(await get('GET /carts/5', '2'), [200, 'cart 5', vary])
  t.match(await get('GET /carts/5', '1'), [404, 'ROUTE_NOT_FOUND'])
  t.match(await get('GET /orders/5'), [404, 'ROUTE_NOT_FOUND'], 'none is meant')
  for (const none of ['3', '', 'v1', '1, 2', '__proto__', 'constructor'])
    t.match(await get('GET /orders/5', none), [404, 'ROUTE_NOT_FOUND'], none)
  t.match(await get('DELETE /orders', '2'), [405, 'METHOD_NOT_ALLOWED'])
  t.match(await get('GET /orders/x', '2'), [400, 'INVALID_REQUEST'])
  t.strictSame(await get('GET /v1/orders/5'), [200, 'one 5', null])
  t.strictSame(await get('GET /v1/orders/5', '2'), [200, 'one 5', null], 'the path says it')
  t.strictSame(await get('GET /plain/5', '2'), [200, 'plain 5', null], 'it is in no version')
  t.strictSame(await get('GET /ping', '2'), [200, 'pong', null])
  t.match(await get('GET //orders/5', '2'), [404])
  t.match(await get('GET /nothing', '2'), [404])
})

t.test('the version of who says none, and a header of another name', async (t) => {
  const get = await serve(t, { prefixes, default: '1', header: 'Accept-Version' })
  t.strictSame(await get('GET /orders/5'), [200, 'one 5', 'accept-version'])
  t.strictSame(await get('GET /orders/5', '2', 'accept-version'), [200, 'two 5', 'accept-version'])
  t.strictSame(await get('GET /orders/5', '2'), [200, 'one 5', 'accept-version'])
  t.strictSame(await get('GET /ping'), [200, 'pong', null])
  t.match(await get('GET /orders/5', '3', 'accept-version'), [404])
})

t.test('bodies, the document and clients', async (t) => {
  const service = { name: 'shop', modules, versions: { prefixes } }
  const { app } = await createService(t, {}, service)
  const posted = await app.inject({
    method: 'POST',
    url: '/orders',
    payload: { name: 'x' },
    headers: { 'x-api-version': '2' },
  })
  t.match(posted.json(), { data: 'x' })
  const { paths } = (await app.inject('/openapi.json')).json()
  t.equal(paths['/v1/orders/{id}'].get.operationId, 'v1.orders.retrieve')
  t.equal(paths['/v2/orders/{id}'].get.operationId, 'v2.orders.retrieve')
  t.notOk('/orders/{id}' in paths)
  const client = createClient<typeof service>({
    url: await app.listen({ host: '127.0.0.1', port: 0 }),
    retry: false,
  })
  const caller = await createService(t, {}, { name: 'caller' })
  t.equal(await caller.app.run(() => client.v2.orders.retrieve({ id: 5 })), 'two 5')
  t.equal(await app.run(() => modules.v1.modules?.orders.resources?.retrieve({ id: 5 })), 'one 5')
})

t.test('versions that cannot be are refused at boot', async (t) => {
  await t.rejects(serve(t, { prefixes: { ...prefixes, '3': '/v3' } }), {
    code: 'RESOURCE_INVALID',
    message: /no module is under \/v3; give one that prefix, or take it out of versions/,
  })
  await t.rejects(serve(t, { prefixes, default: '3' }), {
    message: /their default is 3; there are 1, 2/,
  })
  await t.rejects(serve(t, { prefixes, paths: {} } as Versions), {
    code: 'SERVICE_INVALID',
    message: /versions of defineService has paths/,
  })
})
