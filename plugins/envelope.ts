import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { default as FindMyWay, HTTPMethod, HTTPVersion, Instance } from 'find-my-way'
import { errors } from '../src/errors.ts'
import { type Compat, chooseEnvelope } from '../src/http/compat.ts'
import type { Envelope, EnvelopeName } from '../src/http/envelope.ts'
import { definePlugin } from '../src/plugin.ts'
import { assertFree, checkOptions, invalidOption } from '../src/plugin-guards.ts'

/** Answers what no route does: 405 where another method would have one, else 404. */
export type AnswerNotFound = (request: FastifyRequest, reply: FastifyReply) => never

declare module 'fastify' {
  interface FastifyInstance {
    answerNotFound: AnswerNotFound
    /** The form of every answer. */
    envelope: Envelope
  }
}

export interface EnvelopeOptions {
  /** The form of every answer, by its name or your own; default `standard`. */
  envelope?: EnvelopeName | Envelope
  /** Answers as BlueKing's kits do, with their codes and HTTP statuses. */
  compat?: Compat
  /** Sets the handler of what no route answers; default true. False: the app does, it has `app.answerNotFound`. */
  notFound?: boolean
}

interface Served {
  method: HTTPMethod
  url: string
  constraints: Record<string, unknown>
}

/**
 * Answers every error of the app in one form, unknown routes and methods too, and echoes the request id. What a
 * route allows is known of those that are added after it: `await app.register()` before routes on `app` itself.
 */
async function register(app: FastifyInstance, options: EnvelopeOptions): Promise<void> {
  checkOptions<EnvelopeOptions>('envelope', options, {
    envelope: 'envelope?',
    compat: 'compat?',
    notFound: 'flag?',
  })
  if (options.compat && options.envelope)
    throw invalidOption('envelope', 'envelope', options.envelope, 'none beside compat')
  assertFree(app, 'envelope', 'envelope')
  const { createErrorHandler } = await import('../src/http/error-handler.ts')
  const { problemOfHead } = await import('../src/http/request-head.ts')
  const { default: createFinder } = await import('find-my-way')
  const envelope = chooseEnvelope(options)
  app.decorate('envelope', envelope)
  const served: Served[] = []
  app.addHook('onRoute', ({ method, url, constraints = {} }) => {
    for (const one of [method].flat() as HTTPMethod[]) {
      // `OPTIONS *` answers whatever is asked before a request of another origin: it makes no path one that exists.
      if (one !== 'OPTIONS' || !url.endsWith('*')) served.push({ method: one, url, constraints })
    }
  })
  app.addHook('onRequest', function readHead(request, reply, done) {
    reply.header('x-request-id', request.id)
    const problem = problemOfHead(request.raw)
    if (problem) reply.header('connection', 'close')
    done(problem)
  })
  // Node.js would answer it alone, without a word.
  app.server.on('checkExpectation', (request, response) => {
    app.server.emit('request', request, response)
  })
  app.setErrorHandler(createErrorHandler(envelope))

  let router: Instance<HTTPVersion.V1> | undefined
  const answerNotFound = (request: FastifyRequest, reply: FastifyReply) => {
    router ??= createRouter(createFinder, app, served)
    const path = request.url.split('?', 1)[0] as string
    const allowed = allowedMethods(router, served, path, request)
    if (allowed.length === 0) throw errors.ROUTE_NOT_FOUND(request.method, path)
    const allow = allowed.join(', ')
    reply.header('allow', allow)
    throw errors.METHOD_NOT_ALLOWED(request.method, path, allow)
  }
  app.decorate('answerNotFound', answerNotFound)
  if (options.notFound ?? true) app.setNotFoundHandler(answerNotFound)
}

const CONSTRAINTS = ['host', 'version']

// Fastify's router answers for one method at a time and is not public: a second one, made when the first
// request has found no route, tells which methods would have had one.
function createRouter(
  createFinder: typeof FindMyWay,
  { initialConfig }: FastifyInstance,
  served: readonly Served[],
): Instance<HTTPVersion.V1> {
  const { constraints: _, ...options } = initialConfig.routerOptions ?? {}
  const router = createFinder({ ...options, defaultRoute: () => false })
  for (const { method, url, constraints } of served) {
    // How an app's own constraints are told is not public either: such a route is no reason for a 405.
    const isKnown = Object.keys(constraints).every((name) => CONSTRAINTS.includes(name))
    if (!isKnown || router.hasRoute(method, url, constraints)) continue
    router.on(method, url, { constraints }, () => true)
  }
  return router
}

function allowedMethods(
  router: Instance<HTTPVersion.V1>,
  served: readonly Served[],
  url: string,
  { raw }: FastifyRequest,
): string[] {
  const methods = [...new Set(served.map(({ method }) => method))]
  const { headers } = raw
  return methods
    .filter((method) => router.lookup({ method, url, headers } as typeof raw, undefined as never))
    .sort()
}

export default definePlugin({
  name: 'envelope',
  after: ['request-log'],
  decorators: ['envelope', 'answerNotFound'],
  options: ({ service: { envelope, compat } }): EnvelopeOptions => ({
    ...(envelope && { envelope }),
    ...(compat && { compat }),
    notFound: false,
  }),
  register,
})
