import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Pool } from 'undici'
import {
  createApp,
  defineApi,
  defineModule,
  defineResource,
  defineService,
  Type,
} from '../src/index.ts'

// A process that is the other system, or calls it as often as it is told, and says how long that took.

const [side = '', url = ''] = process.argv.slice(2)
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

export interface Took {
  /** Milliseconds. */
  time: number
  /** Milliseconds on a CPU. */
  cpu: number
}

/** What is measured, and in what each of those runs that call one after the other: the context of a request, which is there already. */
interface Caller {
  call(): Promise<unknown>
  within(work: () => Promise<void>): Promise<void>
}

const CALLERS = {
  plinth: callKit,
  undici: callBare,
  control: callBare,
  free: () => callRoute(false),
  besides: () => callRoute(true),
}

process.on('disconnect', () => process.exit())
if (side === 'system') await serve()
else {
  const caller = await CALLERS[side as keyof typeof CALLERS]()
  process.on('message', async (count: number) => process.send?.(await measure(caller, count)))
  process.send?.('ready')
}

async function serve(): Promise<void> {
  const body = JSON.stringify(USER)
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    if (request.url !== '/hang') response.writeHead(200, headers).end(body)
  })
  server.listen(0, '127.0.0.1', () =>
    process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
  )
}

/** The calls of one turn, as many at once as there are connections. */
async function measure({ call, within }: Caller, count: number): Promise<Took> {
  const began = performance.now()
  const before = process.cpuUsage()
  let left = count
  const work = async () => {
    while (left-- > 0) await call()
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, () => within(work)))
  const { user, system } = process.cpuUsage(before)
  return { time: performance.now() - began, cpu: (user + system) / 1000 }
}

function callBare(): Caller {
  const pool = new Pool(url, { connections: CONNECTIONS, allowH2: false })
  const headers = { accept: 'application/json', 'x-request-id': 'b7c8c1f2' }
  const call = async () => {
    const { statusCode, body } = await pool.request({ path: '/users/1', method: 'GET', headers })
    if (statusCode !== 200) throw new Error(`status ${statusCode}`)
    return await body.json()
  }
  return { call, within: (work) => work() }
}

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
  return { call: () => app.inject('/bench/free'), within: (work) => work() }
}

async function start(resources: Parameters<typeof defineModule>[0]['resources'] & object) {
  const modules = { bench: defineModule({ prefix: '/bench', resources }) }
  const env = { NODE_ENV: 'production', LOG_LEVEL: 'silent' }
  const app = await createApp(defineService({ name: 'bench', modules }), { env })
  await app.ready()
  return app
}
