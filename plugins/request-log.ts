import type { FastifyInstance } from 'fastify'
import { errors } from '../src/errors.ts'
import { watchRequest } from '../src/http/request-line.ts'
import { definePlugin } from '../src/plugin.ts'

/**
 * Logs one line for each request, whatever becomes of it: its status or that the client has left, the bytes sent, and
 * why it failed. Register it before what may answer in a hook. To have it tell why a stream was cut off, and to have no
 * lines of Fastify's own beside it, give Fastify `logController: new RequestLogController()` of `plinth/log-controller`.
 *
 * @throws {PlinthError} PLUGIN_TWICE, where a context around it has one, too
 */
function register(app: FastifyInstance): void {
  if (app.hasReplyDecorator('failure')) throw errors.PLUGIN_TWICE('request-log')
  app.decorateReply('failure', null)
  // Fastify's own that logs nothing has no level.
  if (app.log.level === undefined) return
  app.addHook('onRequest', function logRequest(request, reply, done) {
    watchRequest(request, reply)
    done()
  })
}

// With what a reply is told of its failure.
export type { Failure } from '../src/http/request-line.ts'
export default definePlugin({ name: 'request-log', after: ['config'], register })
