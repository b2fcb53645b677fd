import type { FastifyInstance, FastifySchema, RouteHandlerMethod } from 'fastify'
import { type TSchema, Type } from 'typebox'
import type { Duration } from '../src/duration.ts'
import { errors } from '../src/errors.ts'
import { asJson, type Envelope, failureStatusOf, standardEnvelope } from '../src/http/envelope.ts'
import { RETRY_AFTER } from '../src/http/error-handler.ts'
import { definePlugin } from '../src/plugin.ts'
import { assertFree, checkOptions, fromEarlier } from '../src/plugin-guards.ts'
import {
  checkReadiness,
  Draining,
  type Readiness,
  type ReadinessCheck,
  readinessOf,
  readinessSchema,
} from '../src/process/readiness.ts'
import type { JsonSchema } from '../src/schema/json-schema.ts'
import { compileSerializerLater } from '../src/schema/serialize.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** What has to work before this process can serve, by name; a plugin adds its attached resource. */
    readiness: Map<string, ReadinessCheck>
    /** Set when the process is about to end: readiness fails from then on, and its `signal` aborts. */
    draining: Draining
  }
}

export interface HealthOptions {
  /** How long one check may take: milliseconds, or a text like `'5s'`; default 2000. */
  timeout?: Duration
  /** Where it answers `pong`; `false`: nowhere. Default `/ping`. */
  ping?: string | false
  /** Where it says that the process is alive; `false`: nowhere. Default `/healthz`. */
  healthz?: string | false
  /** Where it says whether it can serve; `false`: nowhere. Default `/readyz`. */
  readyz?: string | false
}

/** `/ping` answers, `/healthz` says that the process is alive, `/readyz` whether it can serve. */
async function register(app: FastifyInstance, options: HealthOptions): Promise<void> {
  const read = checkOptions<HealthOptions>('health', options, {
    timeout: 'timer?',
    ping: 'route?',
    healthz: 'route?',
    readyz: 'route?',
  })
  assertFree(app, 'health', 'readiness')
  const { timeout = 2000, ping = '/ping', healthz = '/healthz', readyz = '/readyz' } = read
  const envelope =
    fromEarlier<Envelope>(app, 'health', { plugin: 'envelope', decorator: 'envelope' }) ??
    standardEnvelope
  const checks = readinessOf(app)
  const draining = new Draining()
  app.decorate('readiness', checks)
  app.decorate('draining', draining)

  const logFailure = (check: string, error: unknown) =>
    app.log.error({ err: error, check }, 'a readiness check failed')

  const schemas = createSchemas(envelope)
  const serializerCompiler = compileSerializerLater
  const get = (path: string | false, schema: FastifySchema, handler: RouteHandlerMethod) => {
    if (path) app.get(path, { schema, serializerCompiler, config: { kit: 'health' } }, handler)
  }
  get(ping, schemas.ping, async (request, reply) =>
    asJson(envelope.success('pong', request), reply),
  )
  get(healthz, schemas.healthz, async (request) => envelope.success({ healthy: true }, request))
  get(readyz, schemas.readyz, async (request, reply) => {
    const readiness = await checkReadiness(checks, draining.since !== null, timeout, logFailure)
    if (readiness.ready) return envelope.success(readiness, request)
    const notReady = errors.NOT_READY.with({ data: readiness }, whyNot(readiness))
    return reply
      .code(failureStatusOf(envelope, notReady))
      .header('retry-after', RETRY_AFTER)
      .send(envelope.failure(notReady, request))
  })
}

function whyNot({ draining, checks }: Readiness): string {
  const failing = Object.entries(checks).flatMap(([name, { problem, optional }]) =>
    problem === undefined || optional ? [] : [`${name}: ${problem}`],
  )
  return [...(draining ? ['it is stopping'] : []), ...failing].join(', ')
}

function createSchemas(envelope: Envelope) {
  const answer = (description: string, data: TSchema) => ({
    ...envelope.successSchema(data as JsonSchema),
    description,
  })
  const schema = (name: string, summary: string, response: Record<number, JsonSchema>) =>
    ({
      operationId: `plinth.health.${name}`,
      summary,
      tags: ['Health'],
      security: [],
      response,
    }) as FastifySchema
  return {
    ping: schema('ping', 'Answers pong', { 200: answer('It answers', Type.Literal('pong')) }),
    healthz: schema('alive', 'Whether the process is alive', {
      200: answer('It is alive', Type.Object({ healthy: Type.Literal(true) })),
    }),
    readyz: schema('ready', 'Whether the process can serve', {
      200: answer('It can serve', readinessSchema),
      [failureStatusOf(envelope, errors.NOT_READY)]: {
        ...envelope.failureSchema,
        description: 'It cannot serve: it is stopping, or a check failed',
        properties: {
          ...envelope.failureSchema.properties,
          data: readinessSchema as TSchema as JsonSchema,
        },
      },
    }),
  }
}

export default definePlugin({
  name: 'health',
  after: ['docs', 'envelope', 'auth'],
  decorators: ['readiness', 'draining'],
  options({ service }): HealthOptions {
    const { ping, healthz, readyz } = service.routes ?? {}
    return {
      ...(ping !== undefined && { ping }),
      ...(healthz !== undefined && { healthz }),
      ...(readyz !== undefined && { readyz }),
    }
  },
  register,
})
