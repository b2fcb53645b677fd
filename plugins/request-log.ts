import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** Logs one line for each request when it has been answered; the query is left out, it may hold secrets. */
async function requestLog(app: FastifyInstance): Promise<void> {
  app.addHook('onResponse', function logRequest(request, reply, done) {
    // Once: each access makes an object.
    const { url, config } = request.routeOptions
    request.log.info(
      {
        method: request.method,
        path: request.url.split('?', 1)[0],
        route: url,
        resource: config.resource,
        status: reply.statusCode,
        duration_ms: Math.round(reply.elapsedTime * 100) / 100,
      },
      'request',
    )
    done()
  })
}

export default fp(requestLog, { name: 'plinth-request-log', fastify: '5.x' })
