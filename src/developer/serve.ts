import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { errors } from '../errors.ts'
import { assertOwnMachine, PAGE_HEADERS, refusalOf, sendPage } from '../own-page.ts'
import { PUBLIC } from '../resource/access.ts'
import { type Described, type DeveloperRoute, describeService, requestSchema } from './data.ts'
import { type Kept, Recorder } from './recorder.ts'

export interface ServeOptions extends Omit<Described, 'routes'> {
  /** Under which names it may be asked for, from any machine; default: those of this machine, from it alone. */
  readonly hosts?: readonly string[]
}

const RECORD = Symbol('plinth.record')
type Recorded = FastifyRequest & { [RECORD]: Kept | null }

const PAGE = '/_/'
const DATA = '/_/developer'

/** Serves the page, and what it asks for; it is where `/` leads, too, where nothing else is. */
export function serveDeveloper(app: FastifyInstance, { hosts, ...about }: ServeOptions): void {
  if (app.hasDecorator('watcher')) throw errors.PLUGIN_TWICE('developer')
  const machine = { plugin: 'developer', hosts }
  const recorder = new Recorder(app)
  app.decorate('watcher', recorder)
  app.decorateRequest(RECORD, null)
  const routes = collectRoutes(app)
  const root = `${app.prefix}/`
  const own = app.prefix + PAGE
  app.addHook('onClose', async () => recorder.close())
  app.addHook('onRequest', function recordRequest(request, reply, done) {
    if (request.is404 && request.url === root && isGet(request) && !refusalOf(request, machine)) {
      reply.redirect(app.prefix + PAGE)
      return
    }
    // Before the options of the route, which are made with each look at them.
    if (!recorder.isOn || (!request.url.startsWith(own) && recorder.leavesOut())) return done()
    const { kit } = request.routeOptions.config ?? {}
    if (kit === 'developer' || kit === 'health' || kit === 'metrics') return done()
    const record = recorder.begin(request, reply)
    if (!record) return done()
    ;(request as Recorded)[RECORD] = record
    recorder.resume(record, done)
  })
  // What reads a body goes on outside of it.
  app.addHook('preValidation', function resumeRecord(request, _reply, done) {
    const record = (request as Recorded)[RECORD]
    if (record) recorder.resume(record, done)
    else done()
  })
  app.addHook('onResponse', function endRecord(request, reply, done) {
    const record = (request as Recorded)[RECORD]
    if (record) recorder.end(record, reply.statusCode)
    done()
  })

  const guard =
    (isData: boolean) =>
    (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void) => {
      reply.headers(PAGE_HEADERS)
      try {
        assertOwnMachine(request, machine, isData)
        done()
      } catch (error) {
        done(error as Error)
      }
    }
  const options = {
    schema: { hide: true } as never,
    config: { kit: 'developer', access: PUBLIC } as const,
    // It asks every second.
    logLevel: 'warn',
  } as const

  app.get(PAGE, { ...options, onRequest: guard(false) }, (_request, reply) =>
    sendPage(reply, 'developer'),
  )
  const answer = (path: string, work: (request: FastifyRequest) => unknown) =>
    app.get(`${DATA}/${path}`, { ...options, onRequest: guard(true) }, async (request, reply) => {
      reply.type('application/json; charset=utf-8')
      return JSON.stringify(await work(request), (_, one) =>
        typeof one === 'bigint' ? Number(one) : one,
      )
    })
  answer('about', () => describeService(app, { ...about, routes }))
  answer('recent', ({ query }) => {
    recorder.watch()
    const { after } = query as { after?: string }
    return { made: recorder.made, ...recorder.since(Number(after) || 0) }
  })
  answer('schema', ({ query }) => requestSchema(app, String((query as { name?: string }).name)))
}

function isGet({ method }: FastifyRequest): boolean {
  return method === 'GET' || method === 'HEAD'
}

function collectRoutes(app: FastifyInstance): readonly DeveloperRoute[] {
  const routes: DeveloperRoute[] = []
  app.addHook('onRoute', function collect({ method: methods, url, config }) {
    for (const method of [methods].flat())
      if (method !== 'HEAD')
        routes.push({ method, url, resource: config?.resource, kit: config?.kit })
  })
  return routes
}
