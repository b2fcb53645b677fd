import type { FastifyInstance, onRequestHookHandler, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { Deadline } from '../src/http/deadline.ts'
import { assertOnce, checkOptions } from '../src/plugin.ts'

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
 * body, and lets the server wait for a request as long as the most patient of them. Resources count their own time, and
 * routes with a `handlerTimeout` are left to Fastify.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE
 */
async function deadline(app: FastifyInstance, options: DeadlineOptions): Promise<void> {
  checkOptions<DeadlineOptions>('deadline', options, { timeout: 'number' })
  assertOnce(app, 'deadline')
  const { timeout } = options
  app.addHook('onRoute', (route) => {
    route.config ??= {}
    const { deadline = timeout } = route.config
    if (takesBody(route)) waitFor(app.server, route.handlerTimeout ?? deadline)
    if (route.config.resource !== undefined || route.handlerTimeout !== undefined) return
    route.config.deadline = deadline
    if (route.config.deadline === 0) return
    const hooks = [route.onRequest ?? []].flat()
    route.onRequest = [boundBy(route.config.deadline), ...hooks]
  })
}

function takesBody({ method }: RouteOptions): boolean {
  return [method].flat().some((one) => one !== 'GET' && one !== 'HEAD')
}

/** The limit of the server is one for all routes: it has to be that of the most patient, each route has its own. */
function waitFor(server: FastifyInstance['server'], time: number): void {
  // 0 has no limit.
  if (server.requestTimeout > 0 && (time === 0 || time > server.requestTimeout))
    server.requestTimeout = time
}

function boundBy(timeout: number): onRequestHookHandler {
  return function startDeadline(_request, reply, done) {
    const running = new Deadline(reply, timeout)
    reply.raw.once('close', () => running.end())
    done()
  }
}

export default fp(deadline, { name: 'plinth-deadline', fastify: '5.x' })
