import Fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import auth from '../../plugins/auth.ts'
import { addStrategy } from '../../src/auth/authenticator.ts'
import { and, definePermission, hasScope, isSuperuser, not, or } from '../../src/auth/permission.ts'
import type { AccessSettings, Permission } from '../../src/resource/access.ts'
import type { Context, User } from '../../src/resource/context.ts'
import { defineModule } from '../../src/resource/module.ts'
import { type AnyResource, defineResource } from '../../src/resource/resource.ts'
import { createService, failure, type ServiceOptions } from '../helpers/app.ts'
import { redisUrl } from '../helpers/drivers.ts'

type Member = User & { role?: string }

/** `x-user: ann`, `x-user: ann staff`, with `x-scopes` where they are limited. */
const byHeader: FastifyPluginAsync = fp(async (app) => {
  addStrategy(app, {
    name: 'header',
    scheme: { type: 'apiKey', in: 'header', name: 'x-user' },
    challenge: 'Header',
    authenticate({ headers }) {
      const [id, role] = String(headers['x-user'] ?? '').split(' ')
      const scopes = headers['x-scopes']
      if (!id) return undefined
      return {
        user: { id, ...(role && { role }) } as Member,
        ...(typeof scopes === 'string' && { scopes: scopes.split(' ') }),
      }
    },
  })
})

const isStaff = definePermission({
  name: 'isStaff',
  reason: 'only staff may do this',
  allows: ({ user }) => (user as Member | undefined)?.role === 'staff',
})
const isSmall = definePermission<{ n?: number }>({
  name: 'isSmall',
  reason: 'n is at most 10',
  denied: 404,
  allows: async ({ input: { n = 0 } }) => n <= 10,
})

function thing(access: AccessSettings & { path?: string }, more: object = {}): AnyResource {
  return defineResource({
    summary: 'Thing',
    method: 'POST',
    request: Type.Object({ n: Type.Optional(Type.Integer()) }),
    response: Type.String(),
    perform: ({ n = 0 }, { user }) => `${user?.id ?? 'nobody'} ${n}`,
    ...access,
    ...more,
  })
}

function serve(t: Test, resources: Record<string, AnyResource>, options: ServiceOptions = {}) {
  return createService(t, resources, { auth: true, plugins: [byHeader], ...options })
}

/** Status, and why: the messages of `errors`. */
async function post(app: FastifyInstance, url: string, user = '', payload: object = {}, more = {}) {
  const headers = { ...(user && { 'x-user': user }), ...more }
  const answer = await app.inject({ method: 'POST', url, payload, headers })
  const { data, code, errors } = answer.json()
  return answer.statusCode === 200
    ? data
    : [answer.statusCode, code, ...(errors ?? []).map(({ message }: Error) => message)]
}

t.test('what is not decided does not start', async (t) => {
  const cases: [AnyResource, object, RegExp][] = [
    [thing({}), { auth: true }, /things\.thing.*nobody has decided who may call it/],
    [thing({ auth: 'required' }), {}, /things\.thing.*nothing would enforce them/],
    [thing({ permissions: isStaff }), {}, /things\.thing.*nothing would enforce them/],
    [thing({ auth: 'public', permissions: isStaff }), { auth: true }, /public and has permissions/],
    [thing({ auth: 'nobody' as never }), { auth: true }, /its auth is nobody/],
    [thing({ permissions: 'isStaff' as never }), { auth: true }, /none by definePermission/],
  ]
  for (const [resource, options, message] of cases) {
    const { code, ...told } = await failure(createService(t, { thing: resource }, options))
    t.match({ code, ...told }, { code: 'RESOURCE_INVALID', message })
  }
  await createService(t, { thing: thing({ auth: 'public' }) })
})

t.test('a call is let through by what is decided', async (t) => {
  const { app } = await serve(t, {
    open: thing({ auth: 'public', path: '/open' }),
    maybe: thing({ auth: 'optional', path: '/maybe' }),
    users: thing({ auth: 'required', path: '/users' }),
    staff: thing({ permissions: isStaff, path: '/staff' }),
    small: thing({ permissions: [isStaff, isSmall], path: '/small' }),
    guests: thing({ auth: 'optional', permissions: or(isStaff, isSmall), path: '/guests' }),
  })
  t.equal(await post(app, '/things/open', 'ann'), 'nobody 0', 'nobody is asked who it is')
  t.equal(await post(app, '/things/maybe'), 'nobody 0')
  t.equal(await post(app, '/things/maybe', 'ann'), 'ann 0')
  t.strictSame(await post(app, '/things/users'), [401, 'UNAUTHENTICATED'])
  t.equal(await post(app, '/things/users', 'ann'), 'ann 0')
  t.strictSame(await post(app, '/things/staff'), [401, 'UNAUTHENTICATED'])
  const why = 'isStaff: only staff may do this'
  t.strictSame(await post(app, '/things/staff', 'ann'), [403, 'FORBIDDEN', why])
  t.equal(await post(app, '/things/staff', 'ann staff'), 'ann 0')
  t.equal(await post(app, '/things/small', 'ann staff', { n: 9 }), 'ann 9')
  t.strictSame(await post(app, '/things/small', 'ann staff', { n: 11 }), [404, 'NOT_FOUND'])
  t.equal(await post(app, '/things/guests', '', { n: 9 }), 'nobody 9')
  const either = 'isStaff or isSmall: only staff may do this or n is at most 10'
  t.strictSame(await post(app, '/things/guests', '', { n: 11 }), [401, 'UNAUTHENTICATED', either])
  t.strictSame(await post(app, '/things/guests', 'ann', { n: 11 }), [404, 'NOT_FOUND'])
  t.equal(await post(app, '/things/guests', 'ann staff', { n: 11 }), 'ann 11')
})

t.test('permissions add up, from the module around to the resource', async (t) => {
  const modules = {
    admin: defineModule({
      prefix: '/admin',
      permissions: isStaff,
      resources: {
        any: thing({ path: '/any' }),
        small: thing({ path: '/small', permissions: isSmall }),
        open: thing({ path: '/open', auth: 'public' }),
      },
      modules: {
        inner: defineModule({ prefix: '/in', resources: { any: thing({ path: '/any' }) } }),
      },
    }),
  }
  const { app } = await serve(t, {}, { modules })
  for (const url of ['/admin/any', '/admin/small', '/admin/in/any']) {
    t.match(await post(app, url, 'ann'), [403], url)
    t.equal(await post(app, url, 'ann staff'), 'ann 0', url)
  }
  t.match(await post(app, '/admin/small', 'ann staff', { n: 11 }), [404])
  t.equal(await post(app, '/admin/open'), 'nobody 0')
})

t.test('one resource in two modules is decided for each route', async (t) => {
  const list = thing({})
  const modules = {
    a: defineModule({ prefix: '/a', permissions: isStaff, resources: { list } }),
    b: defineModule({ prefix: '/b', auth: 'required', resources: { list } }),
  }
  const { app } = await serve(t, {}, { modules })
  t.match(await post(app, '/a', 'ann'), [403])
  t.equal(await post(app, '/b', 'ann'), 'ann 0')
})

t.test('and so by every other way', async (t) => {
  const definition = { permissions: isStaff, path: '/staff' }
  const staff = thing(definition, { async: true })
  const cached = thing(
    { ...definition, path: '/cached' },
    { cache: { ttl: 60_000, perUser: false } },
  )
  const caller = (path: string, perform: () => unknown) =>
    thing({ auth: 'optional', path }, { response: Type.Unknown(), perform })
  const computed = thing(
    { auth: 'optional', path: '/computed' },
    {
      cache: { ttl: 60_000, perUser: false },
      perform: () => staff({}),
    },
  )
  const resources = {
    staff,
    cached,
    computed,
    call: caller('/call', () => staff({})),
    bulk: caller('/bulk', () => staff.bulk([{}])),
    enqueue: caller('/enqueue', () => staff.enqueue({})),
    cachedly: caller('/cachedly', () => cached({})),
    asService: caller('/as-service', () => appOf().run(() => staff({}))),
  }
  const roles = new Map([['ann', 'staff']])
  const { app } = await serve(t, resources, {
    async: true,
    loadUser: (id) => ({ id, role: roles.get(id) }) as Member,
    variables: { REDIS_URL: redisUrl() },
  })
  const appOf = () => app
  await app.tasks.work({ queues: ['default'], concurrency: 1, schedules: false })
  for (const way of ['call', 'bulk', 'enqueue', 'cachedly']) {
    const url = `/things/${way}`
    t.match(await post(app, url), [401, 'UNAUTHENTICATED'], `${way} of nobody`)
    t.match(await post(app, url, 'bob'), [403, 'FORBIDDEN'], `${way} of another`)
    t.type(
      await post(app, url, 'ann staff'),
      way === 'bulk' ? Array : way === 'enqueue' ? Object : 'string',
      way,
    )
    t.match(await post(app, url, 'bob'), [403, 'FORBIDDEN'], `${way}, where it is cached`)
  }
  t.equal(await app.run(() => staff({})), 'nobody 0', 'the service itself may')
  t.equal(await post(app, '/things/as-service', 'bob'), 'nobody 0', 'where it says that it is')
  t.match(await post(app, '/things/computed', 'ann staff'), [401], 'shared work is for nobody')

  const header = { 'x-async-task': '1' }
  t.match(await post(app, '/things/staff', 'bob', {}, header), [403])
  const { task_id } = await post(app, '/things/staff', 'ann staff', {}, header)
  t.equal(await app.tasks.result(task_id), 'ann 0')
  const bare = await app.run(() => staff.enqueue({}))
  t.equal(await bare.result(), 'nobody 0', 'a task of the service itself')
  const later = await post(app, '/things/enqueue', 'zoe staff')
  const told = await failure(app.tasks.result(later.task_id))
  t.match(told.message, /The user may not do this/, 'as the user is where it runs')
  const anonymous = await post(app, '/things/call', '', {}, header)
  t.match((await failure(app.tasks.result(anonymous.task_id))).message, /authenticate first/)
})

t.test('permissions compose, and only true or false is an answer', async (t) => {
  const say = (name: string, answer: unknown): Permission => by(name, () => answer)
  const by = (name: string, allows: () => unknown): Permission =>
    definePermission({ name, reason: `${name} says no`, allows: allows as () => boolean })
  const fail = () => Promise.reject(new Error('s3cret'))
  const yes = [say('yes', true), say('later', Promise.resolve(true))]
  const no = [say('no', false), say('never', Promise.resolve(false))]
  const asked = {} as never
  for (const [one, other] of [yes, [...yes].reverse()] as [Permission, Permission][]) {
    t.equal(await and(one, other).allows(asked), true)
    t.equal(await not(one).allows(asked), false)
    for (const bad of no) {
      t.equal(await and(one, bad).allows(asked), false)
      t.equal(await and(bad, one).allows(asked), false)
      t.equal(await or(one, bad).allows(asked), true)
      t.equal(await or(bad, one).allows(asked), true)
      t.equal(await or(bad, ...no).allows(asked), false)
      t.equal(await not(bad).allows(asked), true)
    }
  }
  t.equal(
    and(or(yes[0] as Permission, no[0] as Permission), not(no[1] as Permission)).name,
    '(yes or no) and (not never)',
  )
  const { app, logs } = await serve(t, {
    nothing: thing({ permissions: not(say('nothing', undefined)), path: '/nothing' }),
    text: thing({ permissions: say('text', Promise.resolve('true')), path: '/text' }),
    fails: thing({
      permissions: by('fails', fail),
      path: '/fails',
    }),
  })
  for (const url of ['/things/nothing', '/things/text', '/things/fails'])
    t.strictSame(await post(app, url, 'ann'), [500, 'INTERNAL'], url)
  t.match(JSON.stringify(logs), /the permission nothing said undefined; expected true or false/)
})

t.test('credentials may be limited', async (t) => {
  const { app } = await serve(t, { thing: thing({ permissions: hasScope('things:write') }) })
  const scoped = (scopes: string) => post(app, '/things', 'ann', {}, { 'x-scopes': scopes })
  t.equal(await scoped('other things:write'), 'ann 0')
  t.match(await scoped('other'), [403, 'FORBIDDEN', /the credentials need the scope things:write/])
  t.equal(await post(app, '/things', 'ann'), 'ann 0', 'without scopes they are not')
})

t.test('superusers by the configuration are so whichever way they come', async (t) => {
  const limited = fp(async (app: FastifyInstance) =>
    addStrategy(app, {
      name: 'limited',
      scheme: { type: 'apiKey', in: 'header', name: 'x-limited' },
      authenticate: ({ headers: { 'x-limited': id } }) =>
        typeof id === 'string' ? { user: { id, superuser: false } } : undefined,
    }),
  )
  const own = thing({ permissions: isSuperuser, path: '/own' }, { async: true })
  const who = thing(
    { auth: 'optional', path: '/who' },
    {
      response: Type.Unknown(),
      perform: (_: unknown, { user, request }: Context) => [user, request?.auth?.user],
    },
  )
  const { app } = await serve(
    t,
    { own, who },
    {
      plugins: [byHeader, limited],
      loadUser: (id) => ({ id }),
      variables: { SUPERUSERS: ' ann,app:billing' },
    },
  )
  t.equal(await post(app, '/things/own', 'ann'), 'ann 0')
  t.equal(await post(app, '/things/own', 'app:billing'), 'app:billing 0')
  t.match(await post(app, '/things/own', 'bob'), [403, 'FORBIDDEN', /^isSuperuser: /])
  t.match(await post(app, '/things/own'), [401])
  const ann = { id: 'ann', superuser: true }
  t.strictSame(await post(app, '/things/who', 'ann'), [ann, ann])
  t.strictSame(await post(app, '/things/who', 'bob'), [{ id: 'bob' }, { id: 'bob' }])
  t.match(
    await post(app, '/things/own', '', {}, { 'x-limited': 'ann' }),
    [403],
    'not by credentials that are no good for it',
  )
  const header = { 'x-async-task': '1' }
  const { task_id } = await post(app, '/things/own', 'ann', {}, header)
  t.equal(await app.tasks.result(task_id), 'ann 0')

  const plain = Fastify()
  t.teardown(() => plain.close())
  await plain.register(auth, { superusers: ['ann'] })
  await plain.register(byHeader)
  plain.get('/own', { config: { permissions: isSuperuser } }, ({ auth }) => auth?.user)
  const ask = async (user: string) =>
    await plain.inject({ url: '/own', headers: { 'x-user': user } })
  t.strictSame((await ask('ann')).json(), ann)
  t.equal((await ask('bob')).statusCode, 403)
})

t.test('nobody is refused before the body has come', async (t) => {
  const { app } = await serve(t, { thing: thing({ auth: 'required' }) })
  const payload = '{'.repeat(10)
  const headers = { 'content-type': 'application/json' }
  const answer = await app.inject({ method: 'POST', url: '/things', payload, headers })
  t.equal(answer.statusCode, 401)
  t.equal(answer.headers['www-authenticate'], 'Header')
})

t.test('where to log in is told', async (t) => {
  const login = fp(async (app: FastifyInstance) => {
    const scheme = { type: 'apiKey', in: 'cookie', name: 'sid' } as const
    const authenticate = () => undefined
    addStrategy(app, { name: 'cookie', scheme, authenticate, login: () => 'https://login.example' })
  })
  const { app } = await serve(t, { thing: thing({ auth: 'required' }) }, { plugins: [login] })
  const answer = await app.inject({ method: 'POST', url: '/things', payload: {} })
  t.equal(answer.statusCode, 401)
  t.strictSame(answer.json().data, { login_url: 'https://login.example' })
})

t.test('a plain route needs a user, unless it says otherwise', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(auth)
  await app.register(byHeader)
  const bad = { config: { auth: 'all' as never } }
  t.throws(() => app.get('/bad', bad, () => ''), { code: 'RESOURCE_INVALID' })
  app.get('/any', () => 'any')
  app.get('/open', { config: { auth: 'public' } }, () => 'open')
  app.get('/staff', { config: { permissions: isStaff } }, () => 'staff')
  const ask = async (url: string, user?: string) =>
    (await app.inject({ url, headers: user ? { 'x-user': user } : {} })).statusCode
  t.strictSame([await ask('/any'), await ask('/any', 'ann')], [401, 200])
  t.equal(await ask('/open'), 200)
  t.strictSame(
    [await ask('/staff'), await ask('/staff', 'ann'), await ask('/staff', 'ann staff')],
    [401, 403, 200],
  )
  t.equal(await ask('/nothing'), 404)
})

t.test('the kit has its own, of which can be decided', async (t) => {
  const variables = { REDIS_URL: redisUrl(), DOCS: 'true', QUEUES: 'true' }
  const resources = { thing: thing({ auth: 'required' }) }
  const ask = async (app: FastifyInstance, user?: string) => {
    const urls = ['/ping', '/readyz', '/openapi.json', '/docs', '/_/queues', '/nothing']
    const headers = user ? { 'x-user': user } : {}
    return await Promise.all(
      urls.map(async (url) => (await app.inject({ url, headers })).statusCode),
    )
  }
  const { app: open } = await serve(t, resources, { variables })
  t.strictSame(await ask(open), [200, 200, 200, 200, 200, 404])
  const routes = { docs: { auth: 'required' }, queues: { permissions: isStaff } } as const
  const { app } = await serve(t, resources, { variables, auth: { routes } })
  t.strictSame(await ask(app), [200, 200, 401, 401, 401, 404])
  t.strictSame(await ask(app, 'ann'), [200, 200, 200, 200, 403, 404])
  t.strictSame(await ask(app, 'ann staff'), [200, 200, 200, 200, 200, 404])
})

t.test('a task is found by the user of a strategy', async (t) => {
  const { app } = await serve(
    t,
    { thing: thing({ auth: 'required' }) },
    {
      async: true,
      loadUser: (id) => ({ id }),
    },
  )
  const { task_id } = await post(app, '/things', 'ann', {}, { 'x-async-task': '1' })
  const find = async (user: string) =>
    (await app.inject({ url: `/tasks/${task_id}`, headers: { 'x-user': user } })).statusCode
  t.strictSame([await find('ann'), await find('bob'), await find('')], [200, 404, 404])
})

t.test('the API document says who may', async (t) => {
  const { app } = await serve(
    t,
    {
      open: thing({ auth: 'public', path: '/open' }),
      maybe: thing({ auth: 'optional', path: '/maybe' }),
      staff: thing({ permissions: isStaff, path: '/staff' }),
    },
    { variables: { DOCS: 'true' } },
  )
  const document = (await app.inject('/openapi.json')).json()
  t.strictSame(document.components.securitySchemes, {
    header: { type: 'apiKey', in: 'header', name: 'x-user' },
  })
  const of = (path: string) => {
    const { security, responses } = document.paths[path].post
    return [security, '401' in responses, '403' in responses]
  }
  t.strictSame(of('/things/open'), [[], false, false])
  t.strictSame(of('/things/maybe'), [[{ header: [] }, {}], true, true])
  t.strictSame(of('/things/staff'), [[{ header: [] }], true, true])
})
