import t from 'tap'
import { Type } from 'typebox'
import { defineResource } from '../../src/resource/resource.ts'
import { createService, type LogLine } from '../helpers/app.ts'

const get = defineResource({
  summary: 'Get',
  path: '/:id',
  request: Type.Object({ id: Type.Integer(), token: Type.Optional(Type.String()) }),
  perform({ id }) {
    if (id === 0) throw new Error('lost')
    return null
  },
})

t.test('one line for each request, without its query', async (t) => {
  const { app, logs } = await createService(t, { get })
  logs.length = 0
  await app.inject({ url: '/things/1?token=hunter2', headers: { 'x-request-id': 'mine' } })
  t.equal(logs.length, 1)
  const { time, pid, hostname, duration_ms, ...rest } = logs[0] as LogLine
  t.strictSame(rest, {
    level: 30,
    request_id: 'mine',
    method: 'GET',
    path: '/things/1',
    route: '/things/:id',
    resource: 'things.get',
    status: 200,
    msg: 'request',
  })
  t.type(duration_ms, 'number')
})

t.test('failures are logged under the same id, and never the query', async (t) => {
  const { app, logs } = await createService(t, { get })
  logs.length = 0
  const headers = { 'x-request-id': 'mine' }
  await app.inject({ url: '/things/0?token=hunter2', headers })
  await app.inject({ url: '/things/x?token=hunter2', headers })
  await app.inject({ url: '/nope?token=hunter2', headers })
  await app.inject({ url: '/things/%ff?token=hunter2', headers })
  t.strictSame(
    logs.map(({ level, status, code, reason }) => [level, status, code, reason]),
    [
      [50, 500, 'INTERNAL', 'The service failed; its log tells why under this request id'],
      [30, 400, 'INVALID_REQUEST', 'The request to things.get is not valid; see errors'],
      [30, 404, 'ROUTE_NOT_FOUND', 'Nothing answers GET /nope'],
      [
        30,
        400,
        'BAD_REQUEST',
        'The request cannot be read: the URL is not properly percent-encoded',
      ],
    ],
  )
  t.ok(logs.every(({ msg, request_id }) => msg === 'request' && request_id === 'mine'))
  t.strictSame(logs[1]?.errors, [{ path: '/id', message: 'must be integer' }])
  t.match(logs[0]?.err, { type: 'Error', message: 'lost', stack: /request-log\.test\.ts/ })
  t.notMatch(JSON.stringify(logs), 'hunter2')
})

t.test('the line tells which service says that it calls', async (t) => {
  const { app, logs } = await createService(t, { get })
  const client = async (name: string) => {
    logs.length = 0
    await app.inject({ url: '/things/1', headers: { 'x-client': name } })
    return logs.find(({ msg }) => msg === 'request')?.client
  }
  t.equal(await client('orders/1.2.0'), 'orders/1.2.0')
  for (const strange of ['', 'a b', 'x'.repeat(101), 'é'])
    t.equal(await client(strange), undefined, strange)
})

t.test('what is not written down leaves nothing', async (t) => {
  const { app, logs } = await createService(t, { get })
  logs.length = 0
  app.log.level = 'error'
  await app.inject('/things/1')
  await app.inject('/things/0')
  t.match(logs, [{ level: 50, status: 500, msg: 'request' }])
  t.equal(logs.length, 1)
})

t.test('the line tells who asked, where that is known', async (t) => {
  const identify = ({ headers }: { headers: Record<string, unknown> }) =>
    headers['x-user'] === undefined ? null : { id: headers['x-user'] as string, name: 'Ann' }
  const { app, logs } = await createService(t, { get }, { identify })
  const users = async (headers: Record<string, string>) => {
    logs.length = 0
    await app.inject({ url: '/things/1', headers })
    return logs.filter(({ msg }) => msg === 'request').map(({ user, status }) => [user, status])
  }
  t.strictSame(await users({ 'x-user': 'ann' }), [['ann', 200]])
  t.strictSame(await users({}), [[undefined, 200]])
  t.strictSame(await users({ 'x-user': '' }), [[undefined, 500]])
})
