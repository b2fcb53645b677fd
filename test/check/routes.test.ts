import Fastify, { type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import t, { type Test } from 'tap'
import tasks from '../../plugins/tasks.ts'
import { checkOpenRoutes, checkRoutes, checkTaskUsers, RouteWatch } from '../../src/check/routes.ts'
import type { Access } from '../../src/resource/access.ts'

async function watch(t: Test, register: (app: FastifyInstance) => void): Promise<RouteWatch> {
  const app = Fastify()
  t.teardown(() => app.close())
  const watch = new RouteWatch()
  watch.begin(app)
  register(app)
  await app.ready()
  return watch
}

const answer = async () => 'yes'
const told = (watch: RouteWatch) =>
  checkRoutes(watch).map(({ code, subject }) => `${code} ${subject}`)

t.test('routes without a schema of their body or path', async (t) => {
  const all = await watch(t, (app) => {
    app.get('/', answer)
    app.get('/:id', answer)
    app.post('/', answer)
    app.put('/:id', { schema: { body: {}, params: {} } }, answer)
    app.post('/kit', { config: { kit: 'tasks' } }, answer)
    app.post('/resource', { config: { resource: 'things.add' } }, answer)
    app.options('*', answer)
    app.register(async (scope) => {
      scope.removeAllContentTypeParsers()
      scope.addContentTypeParser('*', (_request, _payload, done) => done(null))
      scope.post('/unread', answer)
    })
  })
  t.strictSame(told(all), ['route-without-schema GET /:id', 'route-without-schema POST /'])
  t.match(checkRoutes(all)[1], {
    check: 'routes',
    level: 'warning',
    message: 'POST / has no schema of its body',
    remedy: /schema/,
  })
})

t.test('routes without a deadline', async (t) => {
  const all = await watch(t, (app) => {
    app.get('/events', { config: { deadline: 0 } }, answer)
    app.get('/soon', { config: { deadline: 10 } }, answer)
  })
  t.strictSame(told(all), ['route-without-deadline GET /events'])
})

t.test('a plugin that looks at routes does not see those that were there before', async (t) => {
  const seen: string[] = []
  const looks = fp(
    async (app: FastifyInstance) => {
      app.addHook('onRoute', ({ url }) => void seen.push(url))
      app.addHook('onRequest', async () => {})
    },
    { name: 'limits' },
  )
  const admin = async (app: FastifyInstance) => void app.get('/admin', answer)
  const late = await watch(t, (app) => {
    app.register(admin)
    app.register(looks)
    app.register(async (scope) => void scope.get('/after', answer))
  })
  t.notOk(seen.includes('/admin'), 'so Fastify does it')
  t.ok(seen.includes('/after'))
  t.strictSame(told(late), ['route-too-early GET /admin'])
  t.match(checkRoutes(late)[0], {
    message: 'GET /admin was added before the plugin limits, which does not see it',
  })
  const right = await watch(t, (app) => {
    app.register(looks)
    app.register(admin)
  })
  t.strictSame(told(right), [])
})

t.test('pages of the kit that everybody may see', async (t) => {
  const service = { name: 'shop', modules: {} }
  const of = async (kit: 'docs' | 'contract' | 'queues', access: Access | undefined, more = {}) => {
    const config = { kit, ...(access && { access }) }
    const seen = await watch(t, (app) => app.get('/', { config }, answer))
    return checkOpenRoutes(seen, { ...service, ...more }).map(
      ({ code, level }) => `${level} ${code}`,
    )
  }
  const permission = { name: 'a', reason: 'b', denied: 403, allows: () => true } as const
  for (const access of [undefined, { auth: 'public', permissions: [] } as const]) {
    t.strictSame(await of('docs', access), ['warning docs-open'])
    t.strictSame(await of('contract', access), ['warning contract-open'])
    t.strictSame(await of('queues', access), ['error queues-open'])
  }
  t.strictSame(await of('docs', { auth: 'required', permissions: [] }), [])
  t.strictSame(await of('queues', { auth: 'optional', permissions: [permission] }), [])
  t.strictSame(await of('queues', undefined, { queues: { protect: answer } }), [])
})

t.test('tasks of users, where nothing finds users', async (t) => {
  const of = async (access: Access | undefined, more: object, async = true) => {
    const config = { resource: 'things.add', async, ...(access && { access }) }
    const seen = await watch(t, (app) => app.post('/things', { config }, answer))
    const found = checkTaskUsers(seen, { name: 'shop', modules: {}, ...more })
    return found.map(({ level, code, subject }) => `${level} ${code} ${subject}`)
  }
  const required = { auth: 'required', permissions: [] } as const
  const told = ['error user-unloaded POST /things']
  t.strictSame(await of(required, {}), told)
  t.strictSame(await of({ ...required, auth: 'optional' }, {}), told)
  t.strictSame(await of({ ...required, auth: 'public' }, {}), [], 'it is asked for by nobody')
  t.strictSame(await of(undefined, {}), [])
  t.strictSame(await of(required, {}, false), [])
  t.strictSame(await of(required, { loadUser: () => undefined }), [])
  t.strictSame(await of(required, { plugins: [tasks({ loadUser: () => undefined })] }), [])
})
