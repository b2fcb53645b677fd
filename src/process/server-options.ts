import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import type { KitConfig } from '../config/schema.ts'
import type { Envelope } from '../http/envelope.ts'
import { createErrorHandler } from '../http/error-handler.ts'
import { watchRequest } from '../http/request-line.ts'
import { createClientErrorHandler } from './client-error.ts'
import { loggerOptions } from './log.ts'
import { RequestLogController } from './log-controller.ts'
import { Response } from './server-response.ts'

// An import would read every export, the lazy ones too.
const { maxHeaderSize } = process.getBuiltinModule('node:http')

const REQUEST_ID = /^[\w.:/+=-]{1,128}$/

/** The options of the Fastify instance that follow from the configuration. */
export async function serverOptions(
  name: string,
  config: KitConfig,
  envelope: Envelope,
  logger?: FastifyServerOptions['logger'],
): Promise<FastifyServerOptions> {
  const answerError = createErrorHandler(envelope)
  return {
    logger: logger ?? (await loggerOptions(name, config)),
    logController: new RequestLogController(),
    genReqId: requestIdOf,
    bodyLimit: config.BODY_LIMIT,
    // What plugins wait for has limits of its own: Fastify's ten seconds are few where there is a tenth of a core.
    pluginTimeout: 60_000,
    trustProxy: config.TRUST_PROXY,
    // A client may take as long to send a request as the service may take to answer it. Node.js looks
    // for late ones at an interval that is an option of the server of its own.
    requestTimeout: config.REQUEST_TIMEOUT,
    http: {
      ServerResponse: Response,
      // The plugin `envelope` refuses its absence, in the form of every error.
      requireHostHeader: false,
      connectionsCheckingInterval: 1000,
      headersTimeout: Math.min(config.REQUEST_TIMEOUT, 60_000),
    },
    // A balancer goes on sending for a moment after readiness fails: those requests are served.
    return503OnClosing: false,
    // Schemas say how long a part of the path may be; no URL is longer than the headers of a request may be.
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: maxHeaderSize },
    // What the router refuses before there is a route: a URL that cannot be decoded.
    frameworkErrors(error: unknown, request: FastifyRequest, reply: FastifyReply) {
      // No hook is called for it.
      watchRequest(request, reply)
      answerError(error, request, reply)
    },
    clientErrorHandler: createClientErrorHandler(envelope),
  } as FastifyServerOptions
}

/** The caller's `X-Request-Id` where it is one word of at most 128 harmless characters, else a new UUID. */
function requestIdOf(request: Pick<IncomingMessage, 'headers'>): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID()
}
