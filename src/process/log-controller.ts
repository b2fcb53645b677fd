import { type FastifyReply, type FastifyRequest, LogController } from 'fastify'
import { logCut } from '../http/request-line.ts'

/**
 * `plinth/log-controller`: leaves the lines of requests to the plugin `request-log`, and tells it why a stream was cut off.
 * Apart from that plugin, which whoever lists the plugins of the kit loads, and this needs Fastify.
 */
export class RequestLogController extends LogController {
  constructor() {
    super({ disableRequestLogging: true, requestIdLogLabel: 'request_id' })
  }

  override streamError(error: Error, _request: FastifyRequest, reply: FastifyReply): void {
    logCut(error, reply)
  }
}
