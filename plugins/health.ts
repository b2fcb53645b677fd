import type { FastifyInstance, FastifySchema } from 'fastify'
import fp from 'fastify-plugin'
import { checkReadiness, type ReadinessCheck } from '../src/process/readiness.ts'
import { type EnvelopeName, envelopes } from '../src/resource/envelope.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** What has to work before this process can serve, by name; a plugin adds its attached resource. */
    readiness: Map<string, ReadinessCheck>
    /** Set when the process is about to end: readiness fails from then on. */
    draining: { since: Date | null }
  }
}

export interface HealthOptions {
  /** Default `standard`. */
  envelope?: EnvelopeName
  /** Milliseconds that one check may take; default 2000. */
  timeout?: number
}

/** `/ping` answers, `/healthz` says that the process is alive, `/readyz` whether it can serve. */
async function health(app: FastifyInstance, options: HealthOptions): Promise<void> {
  const { timeout = 2000 } = options
  const envelope = envelopes[options.envelope ?? 'standard']
  const checks = new Map<string, ReadinessCheck>()
  const draining: { since: Date | null } = { since: null }
  app.decorate('readiness', checks)
  app.decorate('draining', draining)

  const schema = (summary: string): FastifySchema => ({ summary, tags: ['Health'] })
  app.get('/ping', { schema: schema('Answers pong') }, async (request) =>
    envelope.success('pong', request),
  )
  app.get('/healthz', { schema: schema('Whether the process is alive') }, async (request) =>
    envelope.success({ healthy: true }, request),
  )
  app.get(
    '/readyz',
    { schema: schema('Whether the process can serve') },
    async (request, reply) => {
      const readiness = await checkReadiness(checks, draining.since !== null, timeout)
      if (!readiness.ready) reply.code(503)
      return envelope.success(readiness, request)
    },
  )
}

export default fp(health, { name: 'plinth-health', fastify: '5.x' })
