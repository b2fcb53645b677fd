import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Pool } from 'undici'
import { defineApi, defineModule, defineResource, Type } from '../src/index.ts'
import { beAsked, type Caller, measureCalls, side, startService, url } from './calling.ts'

// A process that is the other system, or calls it as often as it is told, and says how long that took.

const CONNECTIONS = 20
const WAITING = 1000

const USER = { id: 1, name: 'Ann', email: 'ann@example.com', tags: ['a', 'b', 'c'], admin: false }
const User = Type.Object({
  id: Type.Integer(),
  name: Type.String(),
  email: Type.String(),
  tags: Type.Array(Type.String()),
  admin: Type.Boolean(),
})

const CALLERS = {
  plinth: callKit,
  undici: callBare,
  control: callBare,
  free: () => callRoute(false),
  besides: () => callRoute(true),
}

if (side === 'system') serve()
else {
  const caller = await CALLERS[side as keyof typeof CALLERS]()
  beAsked('ready', (count) => measureCalls(caller, CONNECTIONS, count))
}

function serve(): void {
  const body = JSON.stringify(USER)
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    if (request.url !== '/hang') response.writeHead(200, headers).end(body)
  })
  server.listen(0, '127.0.0.1', () =>
    beAsked(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, () => {}),
  )
}

function callBare(): Caller {
  const pool = new Pool(url, { connections: CONNECTIONS, allowH2: false })
  const headers = { accept: 'application/json', 'x-request-id': 'b7c8c1f2' }
  const call = async () => {
    const { statusCode, body } = await pool.request({ path: '/users/1', method: 'GET', headers })
    if (statusCode !== 200) throw new Error(`status ${statusCode}`)
    return await body.json()
  }
  return { call }
}

/** Called in the context of a request, which is there already. */
async function callKit(): Promise<Caller> {
  const api = defineApi({ name: 'users', baseUrl: url, limit: { connections: CONNECTIONS } })
  const get = api.resource({
    summary: 'A user',
    path: '/users/{id}',
    request: Type.Object({ id: Type.Integer() }),
    response: User,
  })
  const app = await start({ get })
  return { call: () => get({ id: 1 }), within: (work) => app.run(work) }
}

/** @param hangs whether as many calls of a system that never answers are under way, and wait, as may */
async function callRoute(hangs: boolean): Promise<Caller> {
  const api = defineApi({ name: 'users', baseUrl: url, breaker: false, retry: false })
  const hang = api.resource({ summary: 'Hang', path: '/hang', timeout: 5000 })
  const free = defineResource({
    summary: 'Free',
    path: '/free',
    response: User,
    perform: () => USER,
  })
  const app = await start({ hang, free })
  const again = async (): Promise<void> => {
    for (;;) await app.run(() => hang()).catch(() => {})
  }
  if (hangs) for (let i = 0; i < CONNECTIONS + WAITING; i++) again()
  return { call: () => app.inject('/bench/free') }
}

function start(resources: Parameters<typeof defineModule>[0]['resources'] & object) {
  return startService('bench', { bench: defineModule({ prefix: '/bench', resources }) })
}
