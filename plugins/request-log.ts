import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { assertOnce } from '../src/process/plugin.ts'
import { watchRequest } from '../src/resource/request-line.ts'

/**
 * Logs one line for each request, whatever becomes of it: its status or that the client has left, the bytes sent, and
 * why it failed. Register it before what may answer in a hook. To have it tell why a stream was cut off, and to have no
 * lines of Fastify's own beside it, give Fastify `logController: new RequestLogController()`.
 */
async function requestLog(app: FastifyInstance): Promise<void> {
  assertOnce(app, 'request-log')
  app.decorateReply('failure', null)
  app.addHook('onRequest', function logRequest(request, reply, done) {
    watchRequest(request, reply)
    done()
  })
}

export { RequestLogController } from '../src/process/log.ts'
// With what a reply is told of its failure.
export type { Failure } from '../src/resource/request-line.ts'
export default fp(requestLog, { name: 'plinth-request-log', fastify: '5.x' })
