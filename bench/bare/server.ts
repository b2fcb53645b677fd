// A service as Fastify's documentation writes one: schemas, an envelope, a request id, @fastify/mysql and
// @fastify/redis, no logger. What Plinth costs is measured against it.
import { randomUUID } from 'node:crypto'
import fastifyMysql, { type MySQLPromisePool } from '@fastify/mysql'
import fastifyRedis from '@fastify/redis'
import Fastify, { type FastifyError, type FastifyRequest } from 'fastify'
import type { RowDataPacket } from 'mysql2'

const { PORT, HOST = '127.0.0.1', DATABASE_URL = '', REDIS_URL = '' } = process.env

const app = Fastify({ logger: false, genReqId: () => randomUUID() })
const { hostname: host, port, username: user, password, pathname } = new URL(DATABASE_URL)
const login = { host, port: Number(port), user, password: decodeURIComponent(password) }
const database = { ...login, database: pathname.slice(1), connectionLimit: 10, timezone: 'Z' }
app.register(fastifyMysql, { promise: true, ...database })
app.register(fastifyRedis, { url: REDIS_URL })

const success = (request: FastifyRequest, data: unknown) => ({
  result: true,
  code: 0,
  data,
  message: null,
  request_id: request.id,
})
const failure = (request: FastifyRequest, code: number, message: string) => ({
  result: false,
  code,
  data: null,
  message,
  request_id: request.id,
})
const enveloped = (data: object) => ({
  200: {
    type: 'object',
    properties: {
      result: { type: 'boolean' },
      code: { type: 'integer' },
      data,
      message: { type: ['string', 'null'] },
      request_id: { type: 'string' },
    },
  },
})

const person = {
  name: { type: 'string', minLength: 1, maxLength: 64 },
  age: { type: 'integer', minimum: 0, maximum: 150 },
  tags: { type: 'array', maxItems: 10, items: { type: 'string', maxLength: 32 } },
  email: { type: 'string', format: 'email' },
}
const city = {
  type: 'object',
  properties: {
    id: { type: 'integer' },
    name: { type: 'string' },
    country: { type: 'string' },
    population: { type: 'integer' },
    lat: { type: 'number' },
    lon: { type: 'number' },
    created_at: { type: 'string', format: 'date-time' },
    updated_at: { type: 'string', format: 'date-time' },
  },
}
const COLUMNS = 'id, name, country, population, lat, lon, created_at, updated_at'
const byId = { params: { type: 'object', properties: { id: { type: 'integer', minimum: 1 } } } }

app.addHook('onRequest', (request, reply, done) => {
  reply.header('x-request-id', request.id)
  done()
})
app.setErrorHandler((error: FastifyError, request, reply) => {
  const status = error.validation ? 400 : (error.statusCode ?? 500)
  const message = status >= 500 ? 'internal error' : error.message
  reply.code(status).send(failure(request, status, message))
})

app.get('/ping', { schema: { response: enveloped({ type: 'string' }) } }, async (request) =>
  success(request, 'pong'),
)

app.post<{ Body: { name: string } }>(
  '/echo',
  {
    schema: {
      body: {
        type: 'object',
        required: Object.keys(person),
        additionalProperties: false,
        properties: person,
      },
      response: enveloped({
        type: 'object',
        properties: { ...person, greeting: { type: 'string' } },
      }),
    },
  },
  async (request) =>
    success(request, { ...request.body, greeting: `Hello, ${request.body.name}!` }),
)

app.get<{ Querystring: { page: number; page_size: number; country?: string } }>(
  '/cities',
  {
    schema: {
      querystring: {
        type: 'object',
        properties: {
          page: { type: 'integer', minimum: 1, default: 1 },
          page_size: { type: 'integer', minimum: 1, maximum: 100, default: 20 },
          country: { type: 'string', pattern: '^[A-Z]{2}$' },
        },
      },
      response: enveloped({
        type: 'object',
        properties: { total: { type: 'integer' }, results: { type: 'array', items: city } },
      }),
    },
  },
  async (request) => {
    const { page, page_size: size, country } = request.query
    const where = country ? ' WHERE country = ?' : ''
    const values = country ? [country] : []
    const [[count], [results]] = await Promise.all([
      mysql().query<RowDataPacket[]>(`SELECT COUNT(*) AS total FROM city${where}`, values),
      mysql().query<RowDataPacket[]>(
        `SELECT ${COLUMNS} FROM city${where} ORDER BY population DESC, id DESC LIMIT ? OFFSET ?`,
        [...values, size, (page - 1) * size],
      ),
    ])
    return success(request, { total: count[0]?.total, results })
  },
)

// The kit's types say what `app.mysql` is with its own plugin.
const mysql = () => app.getDecorator<MySQLPromisePool>('mysql')

const select = async (id: number) => {
  const [rows] = await mysql().query<RowDataPacket[]>(`SELECT ${COLUMNS} FROM city WHERE id = ?`, [
    id,
  ])
  return rows[0]
}

app.get<{ Params: { id: number } }>(
  '/cities/:id',
  { schema: { ...byId, response: enveloped(city) } },
  async (request, reply) => {
    const found = await select(request.params.id)
    if (!found) return reply.code(404).send(failure(request, 404, 'not found'))
    return success(request, found)
  },
)

app.get<{ Params: { id: number } }>(
  '/cached/:id',
  { schema: { ...byId, response: enveloped(city) } },
  async (request, reply) => {
    const { id } = request.params
    const cached = await app.redis.get(`city:${id}`)
    if (cached !== null) return success(request, JSON.parse(cached))
    const found = await select(id)
    if (!found) return reply.code(404).send(failure(request, 404, 'not found'))
    await app.redis.set(`city:${id}`, JSON.stringify(found), 'EX', 60)
    return success(request, found)
  },
)

await app.listen({ port: Number(PORT), host: HOST })
