import Fastify from 'fastify'

// What any service with Fastify takes to start: one route, with a schema for its answer.
const app = Fastify({ logger: false })
const schema = { response: { 200: { type: 'object', properties: { data: { type: 'string' } } } } }
app.get('/ping', { schema }, async () => ({ data: 'pong' }))
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
