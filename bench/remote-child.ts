import { randomUUID } from 'node:crypto'
import { Ajv2019 } from 'ajv/dist/2019.js'
import Fastify, { type FastifyInstance } from 'fastify'
import { Pool } from 'undici'
import {
  createApp,
  createClient,
  defineModule,
  defineResource,
  defineService,
  Type,
} from '../src/index.ts'
import type { Took } from './tasks-child.ts'

// A process that serves a resource, or calls it as often as it is told, by the kit's client or by hand, and says how long that took.

const [side = '', url = ''] = process.argv.slice(2)
/** How many are under way at once. */
const CALLING = 50

const Request = Type.Object({ id: Type.Integer({ minimum: 1 }), tags: Type.Array(Type.String()) })
const Response = Type.Object({
  id: Type.Integer(),
  name: Type.String(),
  country: Type.String({ maxLength: 2 }),
  population: Type.Union([Type.Integer(), Type.Null()]),
  tags: Type.Array(Type.String()),
})
const find = defineResource({
  summary: 'A city',
  method: 'POST',
  request: Request,
  response: Response,
  perform: ({ id, tags }) => ({ id, name: 'Paris', country: 'FR', population: 2_133_111, tags }),
})
const cities = defineModule({ prefix: '/cities', resources: { find } })
const theirs = defineService({ name: 'theirs', modules: { cities } })

type Find = (input: { id: number; tags: string[] }) => Promise<unknown>

if (side.endsWith('server')) {
  process.on('message', () => process.send?.(spent()))
  process.send?.(await (side === 'plinth-server' ? serveKit() : serveBare()))
} else {
  const call = await (side === 'plinth' ? startKit() : startBare())
  process.on('message', async (count: number) => process.send?.(await measure(call, count)))
  process.send?.('ready')
}
process.on('disconnect', () => process.exit())

function start(name: string, modules: object): Promise<FastifyInstance> {
  const env = { NODE_ENV: 'production', LOG_LEVEL: 'silent', CONTRACT: 'true' }
  return createApp(defineService({ name, modules: modules as never }), { env }) as never
}

/** Milliseconds on a CPU. */
function spent(since?: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since)
  return (user + system) / 1000
}

async function serveKit(): Promise<string> {
  const app = await start(theirs.name, theirs.modules)
  return await app.listen({ host: '127.0.0.1', port: 0 })
}

/** The same by hand: validated, serialized by its schema, in the same form and with the same id of the request. */
async function serveBare(): Promise<string> {
  const app = Fastify({ requestIdHeader: 'x-request-id', genReqId: () => randomUUID() })
  const answer = Type.Object({
    result: Type.Boolean(),
    code: Type.Integer(),
    data: Response,
    message: Type.Null(),
    request_id: Type.String(),
    trace_id: Type.Null(),
  })
  const schema = { body: { ...Request, additionalProperties: false }, response: { 200: answer } }
  app.post('/cities', { schema }, async ({ body, id: request_id }, reply) => {
    const { id, tags } = body as { id: number; tags: string[] }
    reply.header('x-request-id', request_id)
    const data = { id, name: 'Paris', country: 'FR', population: 2_133_111, tags }
    return { result: true, code: 0, data, message: null, request_id, trace_id: null }
  })
  return await app.listen({ host: '127.0.0.1', port: 0 })
}

async function startKit(): Promise<Find> {
  const app = await start('ours', {})
  const client = createClient<typeof theirs>({ url, limit: { connections: CALLING } })
  return (input) => app.run(() => client.cities.find(input))
}

async function startBare(): Promise<Find> {
  const pool = new Pool(url, { connections: CALLING })
  const ajv = new Ajv2019()
  const isRequest = ajv.compile({ ...Request, additionalProperties: false })
  const isResponse = ajv.compile(Response)
  const headers = { 'content-type': 'application/json', accept: 'application/json' }
  return async (input) => {
    if (!isRequest(input)) throw new TypeError(ajv.errorsText(isRequest.errors))
    const answer = await pool.request({
      method: 'POST',
      path: '/cities',
      headers,
      body: JSON.stringify(input),
    })
    const { result, data, message } = (await answer.body.json()) as Record<string, unknown>
    if (answer.statusCode !== 200 || result !== true) throw new Error(String(message))
    if (!isResponse(data)) throw new TypeError(ajv.errorsText(isResponse.errors))
    return data
  }
}

async function measure(call: Find, count: number): Promise<Took> {
  const began = performance.now()
  const before = process.cpuUsage()
  let next = 0
  const lane = async () => {
    while (next < count) await call({ id: ++next, tags: ['capital', 'river'] })
  }
  await Promise.all(Array.from({ length: CALLING }, lane))
  return { time: performance.now() - began, cpu: spent(before) }
}
