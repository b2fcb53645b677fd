import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { isLoopback } from '../config/schema.ts'
import { errors } from '../errors.ts'
import { kitFolder } from '../process/kit.ts'
import { PUBLIC } from '../resource/access.ts'
import { type Described, type DeveloperRoute, describeService, requestSchema } from './data.ts'
import { Recorder } from './recorder.ts'

export interface ServeOptions extends Omit<Described, 'routes'> {
  /** Under which names it may be asked for, from any machine; default: those of this machine, from it alone. */
  readonly hosts?: readonly string[]
}

const PAGE = '/_/'
const DATA = '/_/developer'

/** Serves the page, and what it asks for; it is where `/` leads, too, where nothing else is. */
export function serveDeveloper(app: FastifyInstance, { hosts, ...about }: ServeOptions): void {
  const recorder = new Recorder(app)
  const routes = collectRoutes(app)
  const root = `${app.prefix}/`
  app.addHook('onClose', async () => recorder.close())
  app.addHook('onRequest', function recordRequest(request, reply, done) {
    if (request.is404 && request.url === root && isGet(request) && !refusal(request, hosts)) {
      reply.redirect(app.prefix + PAGE)
      return
    }
    // Before the options of the route, which are made with each look at them.
    if (!recorder.isOn) return done()
    const { kit } = request.routeOptions.config ?? {}
    if (kit === 'developer' || kit === 'health' || kit === 'metrics') done()
    else recorder.begin(request, reply, done)
  })
  app.addHook('preValidation', function resumeRecord(request, _reply, done) {
    if (recorder.isOn) recorder.resume(request, done)
    else done()
  })
  app.addHook('onResponse', function endRecord(request, reply, done) {
    if (recorder.isOn) recorder.end(request, reply.statusCode)
    done()
  })

  const guard =
    (isData: boolean) =>
    (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void) => {
      reply.headers(HEADERS)
      const elsewhere = isData && isFromElsewhere(request) ? FROM : undefined
      const message = refusal(request, hosts) ?? elsewhere
      done(
        message === undefined
          ? undefined
          : errors.FORBIDDEN.with({ errors: [{ path: '', message }] }),
      )
    }
  const options = {
    schema: { hide: true } as never,
    config: { kit: 'developer', access: PUBLIC } as const,
    // It asks every second.
    logLevel: 'warn',
  } as const

  app.get(PAGE, { ...options, onRequest: guard(false) }, (_request, reply) => {
    const { html, policy } = readPage()
    reply.header('content-security-policy', policy).type('text/html; charset=utf-8')
    return reply.send(html)
  })
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

const HEADERS = {
  'cache-control': 'no-store',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

const FROM = 'a page of another origin asks'

function isGet({ method }: FastifyRequest): boolean {
  return method === 'GET' || method === 'HEAD'
}

/** Why who asks sees nothing; `undefined`: may see all. */
function refusal(
  { raw, headers }: FastifyRequest,
  hosts: ServeOptions['hosts'],
): string | undefined {
  const { host = '' } = headers
  const name = host.replace(/:\d*$/, '').toLowerCase()
  // A page elsewhere may have its own name lead here (DNS rebinding): the name is what tells.
  const isKnown = hosts ? hosts.includes(name) : isLoopback(name)
  if (!isKnown)
    return `it is not for the name that is asked for; see hosts of plinth/plugins/developer`
  // Not that of a proxy's header: anybody may write one.
  const address = raw.socket.remoteAddress?.replace(/^::ffff:/, '') ?? ''
  if (hosts || isLoopback(address)) return undefined
  return 'it is for this machine alone; see hosts of plinth/plugins/developer'
}

/** Whether a browser asks for a page of another origin. */
function isFromElsewhere({ headers }: FastifyRequest): boolean {
  const { origin, host, 'sec-fetch-site': site } = headers
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true
  return origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`
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

let page: { html: string; policy: string } | undefined

/** The page, whose script and style are the only ones that run in it. */
function readPage(): { html: string; policy: string } {
  if (page) return page
  // The package has it beside what was built.
  const places = ['src', 'dist/src'].map((up) => join(kitFolder(), up, 'developer/page.html'))
  page = policed(readFileSync(places.find((place) => existsSync(place)) as string, 'utf8'))
  return page
}

function policed(html: string): { html: string; policy: string } {
  const digest = (tag: string) => {
    const [, text = ''] = new RegExp(`<${tag}>(.*?)</${tag}>`, 's').exec(html) ?? []
    return `'sha256-${createHash('sha256').update(text).digest('base64')}'`
  }
  const policy = [
    "default-src 'none'",
    `script-src ${digest('script')}`,
    `style-src ${digest('style')}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ]
  return { html, policy: policy.join('; ') }
}
