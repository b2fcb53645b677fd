import type { FastifyInstance, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { Deadline } from '../src/resource/deadline.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Milliseconds after which the route answers 504; 0: it may take as long as it takes. */
    deadline?: number
  }
}

export interface DeadlineOptions {
  /** Milliseconds, for the routes that do not say `config: { deadline }`; 0: none. */
  timeout: number
}

/**
 * Answers 504 for each route added after it that is late, as Fastify's `handlerTimeout` does for those that read no
 * body. Resources count their own time, and routes with a `handlerTimeout` are left to Fastify.
 */
async function deadline(app: FastifyInstance, { timeout }: DeadlineOptions): Promise<void> {
  app.addHook('onRoute', (route) => {
    route.config ??= {}
    if (route.config.resource !== undefined || route.handlerTimeout !== undefined) return
    route.config.deadline ??= timeout
    if (route.config.deadline === 0) return
    const hooks = [route.onRequest ?? []].flat()
    route.onRequest = [boundBy(route.config.deadline), ...hooks]
  })
}

function boundBy(timeout: number): onRequestHookHandler {
  return function startDeadline(_request, reply, done) {
    const running = new Deadline(reply, timeout)
    reply.raw.once('close', () => running.end())
    done()
  }
}

export default fp(deadline, { name: 'plinth-deadline', fastify: '5.x' })
