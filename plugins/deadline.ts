import type { FastifyInstance, RouteOptions } from 'fastify'
import Type, { type Static } from 'typebox'
import { milliseconds } from '../src/config/schema.ts'
import type { Duration } from '../src/duration.ts'
import { giveContext, setDeadline } from '../src/http/request-context.ts'
import { definePlugin } from '../src/plugin.ts'
import { checkOptions } from '../src/plugin-guards.ts'
import { readTimeout } from '../src/task/declared.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** After how long the route answers 504, milliseconds or a text like `'30s'`; 0: it may take as long as it takes. */
    deadline?: Duration
  }
}

declare module '../src/config/schema.ts' {
  interface KitConfig extends Static<typeof env> {}
}

const env = Type.Object({
  REQUEST_TIMEOUT: milliseconds('The deadline of a request, in ms.', 20_000),
})

export interface DeadlineOptions {
  /** For the routes that do not say `config: { deadline }`: milliseconds, or a text like `'20s'`; 0: none. */
  timeout: Duration
}

/**
 * Answers 504 for each route added after it that is late, as Fastify's `handlerTimeout` does for those that read no
 * body, and lets the server wait for a request as long as the most patient of them. Resources count their own time, and
 * routes with a `handlerTimeout` are left to Fastify.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE
 */
async function register(app: FastifyInstance, options: DeadlineOptions): Promise<void> {
  const { timeout } = checkOptions<DeadlineOptions>('deadline', options, { timeout: 'timer' })
  giveContext(app)
  app.addHook('onRequest', setDeadline(timeout))
  app.addHook('onRoute', (route) => {
    const given = route.config?.deadline ?? timeout
    const deadline = readTimeout(`${route.method} ${route.url}`, 'its deadline', given)
    if (takesBody(route)) waitFor(app.server, route.handlerTimeout ?? deadline)
    // Fastify counts it.
    const own = route.handlerTimeout === undefined ? deadline : 0
    if (route.config?.resource !== undefined) return
    // Whoever has given it may give it to another app, too.
    route.config = { ...route.config, deadline: own }
    if (own !== timeout) route.onRequest = [setDeadline(own), ...[route.onRequest ?? []].flat()]
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

export default definePlugin({
  name: 'deadline',
  env,
  // After what is always quick: only what comes after it is bounded.
  after: ['health', 'docs'],
  options: ({ env }): DeadlineOptions => ({ timeout: env.REQUEST_TIMEOUT }),
  register,
})
