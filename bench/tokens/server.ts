// A route for whoever has a token, by @fastify/jwt as its documentation says, and one with three checks; with the same rules as ./service.
import { randomUUID } from 'node:crypto'
import fastifyJwt, { type FastifyJWTOptions } from '@fastify/jwt'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'

const { PORT, JWT_KEY = '', JWT_AUDIENCE = '', JWT_ISSUER = '' } = process.env

const app = Fastify({ logger: false, genReqId: () => randomUUID() })
app.addHook('onRequest', (request, reply, done) => {
  reply.header('x-request-id', request.id)
  done()
})
app.get('/ping', async () => 'pong')

const response = {
  200: {
    type: 'object',
    properties: {
      result: { type: 'boolean' },
      code: { type: 'integer' },
      data: { type: 'object', properties: { id: { type: 'string' } } },
      message: { type: ['string', 'null'] },
      request_id: { type: 'string' },
    },
  },
}

/** @param cache whether a token that was verified is known again; not so by default */
function serve(path: string, cache: boolean): void {
  app.register(async (scope) => {
    await scope.register(fastifyJwt, {
      secret: { public: JWT_KEY },
      verify: {
        algorithms: ['RS256'],
        allowedAud: JWT_AUDIENCE,
        allowedIss: JWT_ISSUER,
        requiredClaims: ['exp', 'sub', 'aud', 'iss'],
        clockTolerance: 5000,
        cache,
      },
    } as FastifyJWTOptions)
    scope.addHook('onRequest', async (request) => {
      await request.jwtVerify()
    })
    scope.get(path, { schema: { response } }, async (request: FastifyRequest) => ({
      result: true,
      code: 0,
      data: { id: (request.user as { sub: string }).sub },
      message: null,
      request_id: request.id,
    }))
  })
}
serve('/me', false)
serve('/cached', true)

interface Member {
  id: string
  role: string
  tenant: string
}
const badges = new Map([['4711', { id: 'ann', role: 'staff', tenant: 'north' }]])
const refuse = (reply: FastifyReply, status: number, code: string) =>
  reply.code(status).send({ result: false, code, data: null, message: code })

app.decorateRequest('member', null)
app.get(
  '/desks/:id',
  {
    schema: {
      params: { type: 'object', properties: { id: { type: 'integer' } }, required: ['id'] },
      response,
    },
    onRequest: async (request, reply) => {
      const member = badges.get(String(request.headers['x-badge']))
      if (!member) return refuse(reply, 401, 'UNAUTHENTICATED')
      request.setDecorator('member', member)
      return undefined
    },
    preHandler: async (request, reply) => {
      const { role, tenant } = request.getDecorator<Member>('member')
      if (role !== 'staff') return refuse(reply, 403, 'FORBIDDEN')
      if (tenant !== 'north') return refuse(reply, 403, 'FORBIDDEN')
      if ((request.params as { id: number }).id > 10) return refuse(reply, 403, 'FORBIDDEN')
      return undefined
    },
  },
  async (request) => ({
    result: true,
    code: 0,
    data: { id: request.getDecorator<Member>('member').id },
    message: null,
    request_id: request.id,
  }),
)

await app.listen({ port: Number(PORT), host: '127.0.0.1' })
