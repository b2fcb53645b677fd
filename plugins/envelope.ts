import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import FindMyWay, { type HTTPMethod, type HTTPVersion, type Instance } from 'find-my-way'
import { errors } from '../src/errors.ts'
import { useStrictJson } from '../src/resource/body.ts'
import { type EnvelopeName, envelopes } from '../src/resource/envelope.ts'
import { createErrorHandler } from '../src/resource/failure.ts'

export interface EnvelopeOptions {
  /** Default `standard`. */
  envelope?: EnvelopeName
}

interface Served {
  method: HTTPMethod
  url: string
}

/**
 * Answers every error of the app in one form, unknown routes and methods too, and echoes the request id. What a
 * route allows is known of those that are added after it: `await app.register()` before routes on `app` itself.
 */
async function envelope(app: FastifyInstance, options: EnvelopeOptions): Promise<void> {
  const served: Served[] = []
  app.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) served.push({ method: one as HTTPMethod, url })
  })
  app.addHook('onRequest', function echoRequestId(request, reply, done) {
    reply.header('x-request-id', request.id)
    done()
  })
  useStrictJson(app)
  app.setErrorHandler(createErrorHandler(envelopes[options.envelope ?? 'standard']))

  let router: Instance<HTTPVersion.V1> | undefined
  app.setNotFoundHandler(function answerNotFound(request: FastifyRequest, reply: FastifyReply) {
    router ??= createRouter(app, served)
    const path = request.url.split('?', 1)[0] as string
    const allowed = allowedMethods(router, served, path)
    if (allowed.length === 0) throw errors.ROUTE_NOT_FOUND(request.method, path)
    const allow = allowed.join(', ')
    reply.header('allow', allow)
    throw errors.METHOD_NOT_ALLOWED(request.method, path, allow)
  })
}

// Fastify's router answers for one method at a time and is not public: a second one, made when the first
// request has found no route, tells which methods would have had one.
function createRouter(
  { initialConfig }: FastifyInstance,
  served: readonly Served[],
): Instance<HTTPVersion.V1> {
  const router = FindMyWay(initialConfig.routerOptions)
  for (const { method, url } of served) {
    if (!router.hasRoute(method, url)) router.on(method, url, () => {})
  }
  return router
}

function allowedMethods(
  router: Instance<HTTPVersion.V1>,
  served: readonly Served[],
  path: string,
): string[] {
  const methods = [...new Set(served.map(({ method }) => method))]
  return methods.filter((method) => router.find(method, path) !== null).sort()
}

export default fp(envelope, { name: 'plinth-envelope', fastify: '5.x' })
