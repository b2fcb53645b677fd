import { randomUUID } from 'node:crypto'
import { Ajv2019 } from 'ajv/dist/2019.js'
import Fastify from 'fastify'
import { Pool } from 'undici'
import { createClient, defineModule, defineResource, defineService, Type } from '../src/index.ts'
import { beAsked, measureCalls, side, spent, startService, url } from './calling.ts'

// A process that serves a resource, or calls it as often as it is told, by the kit's client or by hand, and says how long that took.

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
  beAsked(await (side === 'plinth-server' ? serveKit() : serveBare()), () => spent())
} else {
  const find = await (side === 'plinth' ? startKit() : startBare())
  const call = (id: number) => find({ id, tags: ['capital', 'river'] })
  beAsked('ready', (count) => measureCalls({ call }, CALLING, count))
}

async function serveKit(): Promise<string> {
  const app = await startService(theirs.name, theirs.modules)
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
  const app = await startService('ours', {})
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
