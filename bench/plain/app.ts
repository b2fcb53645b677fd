import { randomUUID } from 'node:crypto'
import fastifyEnv from '@fastify/env'
import fastifyJwt from '@fastify/jwt'
import Fastify, { type FastifyInstance, LogController } from 'fastify'
import { sql } from 'kysely'
import database from 'plinth/plugins/database'
import Type, { type TSchema } from 'typebox'
import { cities } from './cities.ts'
import { type Config, configSchema } from './config.ts'
import { countries } from './countries.ts'
import { answerErrors, enveloped, success } from './envelope.ts'
import { rawCities } from './raw.ts'

const REQUEST_ID = /^[\w.:/+=-]{1,128}$/
const DEADLINE = 30_000

/**
 * Atlas as a Fastify application without Plinth: same routes, same answers.
 *
 * @param raw read cities with prepared statements of `node:sqlite`, without Kysely
 */
export async function createApp({ raw }: { raw: boolean }): Promise<FastifyInstance> {
  const app = Fastify({
    logger: {
      name: 'atlas',
      level: process.env.LOG_LEVEL ?? 'info',
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (level) => ({ level }) },
    },
    logController: new LogController({
      disableRequestLogging: true,
      requestIdLogLabel: 'request_id',
    }),
    genReqId({ headers }) {
      const given = headers['x-request-id']
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID()
    },
    bodyLimit: 1_048_576,
    handlerTimeout: DEADLINE,
    requestTimeout: DEADLINE,
    http: { connectionsCheckingInterval: 1000, headersTimeout: DEADLINE },
    return503OnClosing: false,
    routerOptions: { ignoreTrailingSlash: true },
    ajv: { customOptions: { removeAdditional: false, allErrors: true } },
  })
  await app.register(fastifyEnv, { schema: configSchema })
  const config = app.getEnvs<Config>()
  if (config.DOCS) await serveDocs(app)

  app.addHook('onRequest', function echoRequestId(request, reply, done) {
    reply.header('x-request-id', request.id)
    done()
  })
  app.addHook('onResponse', function logRequest(request, reply, done) {
    request.log.info(
      {
        method: request.method,
        path: request.url.split('?', 1)[0],
        route: request.routeOptions.url,
        status: reply.statusCode,
        duration_ms: Math.round(reply.elapsedTime * 100) / 100,
      },
      'request',
    )
    done()
  })
  answerErrors(app)
  await app.register(database, { url: config.DATABASE_URL })
  await app.register(fastifyJwt, {
    secret: config.JWT_KEY,
    verify: { allowedAud: 'atlas', requiredClaims: ['exp', 'sub', 'aud'], cache: true },
  })

  const answers = (data: TSchema) => ({ schema: { response: { 200: enveloped(data) } } })
  app.get('/ping', answers(Type.String()), async (request) => success('pong', request))
  app.get('/healthz', answers(Type.Object({ healthy: Type.Boolean() })), async (request) =>
    success({ healthy: true }, request),
  )
  app.get('/readyz', answers(Type.Object({ ready: Type.Boolean() })), async (request) => {
    await sql`select 1`.execute(app.db)
    return success({ ready: true }, request)
  })
  app.register(raw ? rawCities : cities, { prefix: '/cities' })
  app.register(countries, { prefix: '/countries' })
  if (config.REDIS_URL) {
    const { cachedCities } = await import('./cached.ts')
    await app.register(cachedCities, { url: config.REDIS_URL })
  }
  await app.ready()
  return app
}

async function serveDocs(app: FastifyInstance): Promise<void> {
  const { default: swagger } = await import('@fastify/swagger')
  const { default: scalar } = await import('@scalar/fastify-api-reference')
  await app.register(swagger, {
    openapi: { openapi: '3.1.0', info: { title: 'atlas', version: '0.1.0' } },
  })
  await app.register(scalar, { routePrefix: '/docs' })
}
