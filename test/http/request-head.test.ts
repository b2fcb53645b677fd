import t from 'tap'
import { poll } from '../helpers/network.ts'
import { parse, send } from '../helpers/wire.ts'
import { assertAlive, listenWithThings } from './service.ts'

const bad = (problem: string) => ({
  status: 400,
  code: 'BAD_REQUEST',
  message: `The request cannot be read: ${problem}`,
})
const none = bad('it has no Host header')
const two = bad('it has more than one Host header')
const invalid = bad('its Host is no host name')
const expectation = (got: string) => ({
  status: 417,
  code: 'EXPECTATION_FAILED',
  message: `The expectation ${got} cannot be met; send no Expect, or 100-continue`,
})

const REFUSED = [
  ['GET /ping HTTP/1.1\r\n', none],
  ['GET /nope HTTP/1.1\r\n', none],
  ['GET /ping HTTP/1.1\r\nHost: a\r\nHost: a\r\n', two],
  ['GET /ping HTTP/1.1\r\nhost: a\r\nX: y\r\nHOST: b\r\n', two],
  ['GET /ping HTTP/1.0\r\nHost: a\r\nHost: b\r\n', two],
  ['GET http://a/ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n', two],
  ['GET /ping HTTP/1.1\r\nHost: a b\r\n', invalid],
  ['GET /ping HTTP/1.1\r\nHost: a, b\r\n', invalid],
  ['GET /ping HTTP/1.1\r\nHost: user@a\r\n', invalid],
  ['GET /ping HTTP/1.1\r\nHost: a/b\r\n', invalid],
  ['GET /ping HTTP/1.1\r\nHost: a:80x\r\n', invalid],
  ['GET /ping HTTP/1.1\r\nHost: a\r\nExpect: x\r\n', expectation('x')],
] as const

t.test('a head that has to be refused is, in the envelope, with its id and one line', async (t) => {
  const { port, logs } = await listenWithThings(t)
  for (const [head, { status, code, message }] of REFUSED) {
    logs.length = 0
    const answer = parse(await send(port, `${head}Connection: close\r\n\r\n`))
    const { request_id, ...rest } = answer.json()
    t.equal(answer.status, status, head)
    t.match(rest, { result: false, code, message })
    t.equal(answer.headers['x-request-id'], request_id)
    t.equal(answer.headers.connection, 'close')
    await poll(async () => logs.length > 0)
    t.match(logs, [{ msg: 'request', request_id, status, code }])
    t.equal(logs.length, 1)
  }
  await assertAlive(t, port)
})

t.test('what only looks unusual is not', async (t) => {
  const { port } = await listenWithThings(t)
  for (const head of [
    'GET /ping HTTP/1.0\r\n',
    'GET /ping HTTP/1.0\r\nExpect: x\r\n',
    'GET /ping HTTP/1.1\r\nHost:\r\n',
    'GET /ping HTTP/1.1\r\nHost: a-b.example:8000\r\n',
    'GET /ping HTTP/1.1\r\nHost: a_b\r\n',
    'GET /ping HTTP/1.1\r\nHost: [::1]:8000\r\n',
    'GET /ping HTTP/1.1\r\nHost: [fe80::1]\r\n',
    'GET http://a/ping HTTP/1.1\r\nHost: b\r\n',
  ]) {
    t.equal(parse(await send(port, `${head}Connection: close\r\n\r\n`)).status, 200, head)
  }
})

t.test('a connection with two Hosts is closed: what follows may be read differently', async (t) => {
  const { port } = await listenWithThings(t)
  const received = await send(
    port,
    'GET /ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET /ping HTTP/1.1\r\nHost: a\r\n\r\n',
  )
  t.equal(received.split('HTTP/1.1 ').length - 1, 1)
})
