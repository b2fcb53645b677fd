import t from 'tap'
import { Type } from 'typebox'
import { createClient } from '../../src/remote/client.ts'
import { contractOf } from '../../src/remote/contract.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService, serveThings } from '../helpers/app.ts'
import { ask, listen } from '../helpers/wire.ts'

const removed: number[] = []
const remove = defineResource({
  summary: 'Remove',
  method: 'DELETE',
  path: '/:id',
  status: 204,
  async: true,
  request: Type.Object({ id: Type.Integer() }),
  perform({ id }) {
    removed.push(id)
    return null
  },
})
const touch = defineResource({
  summary: 'Touch',
  path: '/touch',
  status: 204,
  cache: { ttl: 60_000, perUser: false },
  perform: () => null,
})
const modules = { things: defineModule({ prefix: '/things', resources: { remove, touch } }) }
const service = { name: 'things', modules }

t.test('204 has no body, by every way nothing is answered', async (t) => {
  const { app } = await createService(t, {}, service)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  for (const [method, path] of [
    ['DELETE', '/things/1'],
    ['GET', '/things/touch'],
    ['GET', '/things/touch'],
  ] as const) {
    const answer = await fetch(`${url}${path}`, { method })
    t.equal(answer.status, 204, `${method} ${path}`)
    t.equal(await answer.text(), '')
    t.equal(answer.headers.get('content-type'), null)
    t.equal(answer.headers.get('content-length'), null)
    t.ok(answer.headers.get('x-request-id'))
  }
  const refused = await fetch(`${url}/things/x`, { method: 'DELETE' })
  t.equal(refused.status, 400)
  t.match(await refused.json(), { result: false, code: 'INVALID_REQUEST' })
  const asTask = await fetch(`${url}/things/2`, {
    method: 'DELETE',
    headers: { 'x-async-task': '1' },
  })
  t.equal(asTask.status, 200)
  t.match(await asTask.json(), { data: { task_id: String } })
  await app.run(async () => {
    t.equal(await remove({ id: 3 }), null)
    t.strictSame(await remove.bulk([{ id: 4 }, { id: 5 }]), [null, null])
    t.equal(await (await remove.enqueue({ id: 6 })).result(), null)
  })
  const client = createClient<typeof service>({ url, retry: false })
  const caller = await createService(t, {}, { name: 'caller' })
  await caller.app.run(async () => {
    t.equal(await client.things.remove({ id: 7 }), null)
    t.equal(await client.things.touch(), null)
  })
  t.strictSame(removed.toSorted(), [1, 2, 3, 4, 5, 6, 7])
  t.match(contractOf(app, { name: 'things' }).resources['things.remove'], { status: 204 })
})

t.test('the API document says so', async (t) => {
  const { app } = await createService(t, {}, service)
  const { paths } = (await app.inject('/openapi.json')).json()
  const { responses } = paths['/things/{id}'].delete
  t.strictSame(Object.keys(responses[204]).toSorted(), ['description', 'headers'])
  t.match(responses[200], { description: /task/ })
})

t.test('other envelopes', async (t) => {
  const problem = await serveThings(t, { remove }, { envelope: 'problem' })
  const bare = await problem.inject({ method: 'DELETE', url: '/things/1' })
  t.strictSame([bare.statusCode, bare.body], [204, ''])
  const { app } = await createService(t, {}, { ...service, compat: 'bk' })
  const port = await listen(app)
  const bk = await ask(port, 'DELETE /things/1')
  t.equal(bk.status, 200, 'which has one status for each success')
  t.match(bk.json(), { result: true, code: 0, data: null })
})

t.test('what 204 cannot be is refused at boot', async (t) => {
  const full = defineResource({
    summary: 'Full',
    status: 204,
    response: Type.String(),
    perform: () => 'x',
  })
  await t.rejects(serveThings(t, { full }), {
    code: 'RESOURCE_INVALID',
    message: /things\.full.*its status is 204, which has no body, and it has a response/,
  })
  const odd = defineResource({ summary: 'Odd', status: 299 as 200, perform: () => null })
  await t.rejects(serveThings(t, { odd }), {
    message: /its status is 299; there are 200, 201, 202, 204/,
  })
})
