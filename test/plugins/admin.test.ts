import { registerHooks } from 'node:module'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type { Kysely } from 'kysely'
import type { Locator } from 'playwright-core'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import admin, { type AdminOptions } from '../../plugins/admin.ts'
import auth from '../../plugins/auth.ts'
import database from '../../plugins/database.ts'
import envelope from '../../plugins/envelope.ts'
import resources from '../../plugins/resources.ts'
import { addStrategy } from '../../src/auth/authenticator.ts'
import { definePermission } from '../../src/auth/permission.ts'
import { secret } from '../../src/config/secret.ts'
import { AuditLog } from '../../src/crud/change-log.ts'
import { modelResources } from '../../src/crud/model-resources.ts'
import { defineModel } from '../../src/database/model/define.ts'
import type { Model, Tables } from '../../src/database/model/types.ts'
import { defineModule, type ModuleTable } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createTables } from '../database/model/fixture.ts'
import { createService, failure } from '../helpers/app.ts'
import { visit } from '../helpers/browser.ts'
import { type DatabaseDriver, databaseDrivers } from '../helpers/drivers.ts'
import { poll } from '../helpers/network.ts'

const Country = defineModel('country', {
  columns: {
    code: Type.String({ pattern: '^[A-Z]{2}$', maxLength: 2 }),
    name: Type.String({ maxLength: 80 }),
  },
  primaryKey: ['code'],
})
const City = defineModel('city', {
  columns: {
    id: Type.Integer({ minimum: 1 }),
    name: Type.String({ minLength: 1, maxLength: 120 }),
    country: Country.schema.properties.code,
    population: Type.Optional(Type.Integer({ minimum: 0 })),
    capital: Type.Boolean({ default: false }),
    kind: Type.Enum(['city', 'town'], { default: 'city' }),
    about: Type.Optional(Type.String()),
    token: Type.Optional(secret(Type.String({ maxLength: 40 }))),
  },
  generated: ['id'],
  unique: [['name', 'country']],
  foreignKeys: { country: 'country.code' },
  audit: 'log',
})
const Note = defineModel('note', {
  columns: {
    id: Type.Integer({ minimum: 1 }),
    owner: Type.String({ maxLength: 20 }),
    text: Type.String({ maxLength: 80 }),
    rating: Type.Optional(Type.Integer()),
    pin: Type.Optional(Type.String({ maxLength: 20 })),
  },
  generated: ['id'],
  audit: 'log',
})
const models = [Country, City, Note, AuditLog] as const
type Db = Kysely<Tables<typeof models>>
const dbOf = (app: FastifyInstance) => app.db as unknown as Db

const isBoss = definePermission({
  name: 'isBoss',
  reason: 'only the boss may do this',
  allows: ({ user }) => user?.id === 'boss',
})
const isStaff = definePermission({
  name: 'isStaff',
  reason: 'only staff may do this',
  allows: ({ user }) => user !== undefined && user.id !== 'guest',
})
const notes = modelResources(Note, {
  only: ['list', 'retrieve', 'create', 'update', 'remove'],
  scope: ({ user }, query) => (user.id === 'boss' ? query : query.where('owner', '=', user.id)),
  fill: { owner: ({ user }) => user.id },
  fields: { hidden: ['rating'], writeOnly: ['pin'] },
  permissions: { remove: isBoss },
})

interface Started {
  readonly app: FastifyInstance
  readonly db: Db
  /** Asks as the page does. */
  ask(method: 'GET' | 'POST' | 'PATCH', path: string, body?: object, user?: string): Promise<Told>
}

interface Told {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: what is answered is held against what is expected
  readonly body: any
}

interface Wanted extends Partial<AdminOptions> {
  readonly modules?: ModuleTable
  readonly all?: readonly Model[]
}

async function start(
  t: Test,
  driver: DatabaseDriver,
  { modules = {}, all = models, ...options }: Wanted = {},
): Promise<Started> {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(envelope)
  app.register(database, { url: await driver.url(t), models: all })
  if (options.permissions) {
    await app.register(auth)
    addStrategy(app, {
      name: 'header',
      scheme: { type: 'apiKey', in: 'header', name: 'x-user' },
      authenticate({ headers: { 'x-user': id } }: FastifyRequest) {
        return typeof id === 'string' ? { user: { id } } : undefined
      },
    })
  }
  app.register(admin, { models: all, ...options })
  app.register(resources, { modules })
  await app.ready()
  await createTables(app.db, driver, all)
  const db = dbOf(app)
  await db
    .insertInto('country')
    .values([
      { code: 'FR', name: 'France' },
      { code: 'DE', name: 'Germany' },
    ])
    .execute()
  const ask: Started['ask'] = async (method, path, payload, user) => {
    const headers = {
      host: 'localhost',
      origin: 'http://localhost',
      ...(user && { 'x-user': user }),
    }
    const answer = await app.inject({
      method,
      url: `/_/admin/tables${path}`,
      headers,
      ...(payload && { payload }),
    })
    return { status: answer.statusCode, body: answer.json() }
  }
  return { app, db, ask }
}

const DEFAULTS = { capital: false, kind: 'city', population: null, about: null, token: null }
const CITIES = [
  { name: 'Paris', country: 'FR', population: 2_138_551, capital: true, token: 'tops3cret' },
  { name: 'Lyon', country: 'FR', population: 513_275, about: 'Two rivers' },
  { name: 'Berlin', country: 'DE', population: 3_426_354, capital: true },
  { name: '100 % <b>', country: 'DE', kind: 'town' },
].map((city) => ({ ...DEFAULTS, ...city }))
const addCities = (db: Db) =>
  db
    .insertInto('city')
    .values(CITIES as never)
    .execute()

const onBoth = (
  name: string,
  wanted: Wanted,
  test: (t: Test, started: Started) => Promise<void>,
) => {
  for (const driver of databaseDrivers)
    t.test(`${name} (${driver.name})`, async (t) => await test(t, await start(t, driver, wanted)))
}

const namesIn = ({ body }: Told) => body.results.map((row: { name: string }) => row.name)

t.test('in production it is there only where the service says for whom', async (t) => {
  const loaded: string[] = []
  const hooks = registerHooks({
    load(url, context, next) {
      if (url.includes('/src/admin/')) loaded.push(url)
      return next(url, context)
    },
  })
  t.teardown(() => hooks.deregister())
  const of = (NODE_ENV: string, variables: NodeJS.ProcessEnv, options?: Partial<AdminOptions>) =>
    createService(
      t,
      {},
      {
        models,
        auth: true,
        modules: {},
        plugins: options ? [admin(options)] : [],
        variables: { NODE_ENV, DATABASE_URL: 'sqlite::memory:', ...variables },
      },
    )
  const status = async (started: ReturnType<typeof of>) =>
    (await (await started).app.inject({ url: '/_/admin', headers: { host: 'localhost' } }))
      .statusCode
  t.equal(await status(of('production', {})), 404)
  t.equal(
    await status(of('production', {}, { permissions: isStaff })),
    404,
    'not where nobody has turned it on',
  )
  t.equal(await status(of('test', {})), 404)
  t.equal(await status(of('development', { ADMIN: 'false' })), 404)
  const refused = await failure(of('production', { ADMIN: 'true' }))
  t.match(refused, {
    code: 'PLUGIN_OPTION_INVALID',
    message: /permissions is missing, expected in production/,
  })
  t.match(await failure(of('production', { ADMIN: 'true' }, { permissions: [] })), {
    code: 'PLUGIN_OPTION_INVALID',
  })
  t.equal(await status(of('production', { ADMIN: 'true' }, { permissions: isStaff })), 401)
  t.equal(await status(of('development', {})), 200)
  t.ok(loaded.length > 0)
})

onBoth('rows are listed, searched, filtered, ordered and paged', {}, async (t, { db, ask }) => {
  await addCities(db)
  const all = await ask('GET', '/city')
  t.match(all, { status: 200, body: { page: 1, total: 4, has_more: false } })
  t.strictSame(Object.keys(all.body.results[0]), [
    'id',
    'name',
    'country',
    'population',
    'capital',
    'kind',
    'created_at',
    'created_by',
    'updated_at',
    'updated_by',
  ])
  t.match(all.body.results[0], { id: 1, name: 'Paris', capital: true })
  t.strictSame(namesIn(await ask('GET', '/city?order=-population&page_size=2&count=false')), [
    'Berlin',
    'Paris',
  ])
  t.strictSame(namesIn(await ask('GET', '/city?order=-population&page_size=2&page=2')), [
    'Lyon',
    '100 % <b>',
  ])
  t.strictSame(namesIn(await ask('GET', '/city?search=100%20%25')), ['100 % <b>'])
  t.strictSame(namesIn(await ask('GET', '/city?is_country=FR&is_capital=true')), ['Paris'])
  t.strictSame(namesIn(await ask('GET', '/city?from_population=600000&to_population=3000000')), [
    'Paris',
  ])
  t.strictSame(namesIn(await ask('GET', '/city?has_name=erl')), ['Berlin'])
  t.strictSame(namesIn(await ask('GET', '/city?is_kind=town')), ['100 % <b>'])
  t.strictSame(namesIn(await ask('GET', '/city?from_created_at=2999-01-01T00:00:00Z')), [])
  t.match(await ask('GET', '/city?from_population=many'), {
    status: 400,
    body: { code: 'INVALID_REQUEST', errors: [{ path: '/from_population' }] },
  })
  for (const query of ['is_token=tops3cret', 'order=token', 'search_token=x'])
    t.equal((await ask('GET', `/city?${query}`)).status, 400, query)
  t.match(await ask('GET', '/nothing'), { status: 404, body: { code: 'NOT_FOUND' } })
  t.match(await ask('GET', '/city/row?id=2'), {
    status: 200,
    body: { name: 'Lyon', about: 'Two rivers' },
  })
  t.match(await ask('GET', '/city/row?id=9'), { status: 404 })
  t.equal((await ask('GET', '/city/row')).status, 400)
})

onBoth('nothing tells of what is secret', {}, async (t, { db, ask }) => {
  await addCities(db)
  const about = await ask('GET', '')
  const city = about.body.tables.find(({ name }: { name: string }) => name === 'city')
  t.notOk(city.columns.some(({ name }: { name: string }) => name === 'token'))
  t.match(
    city.create.find(({ name }: { name: string }) => name === 'token'),
    { secret: true },
  )
  const row = await ask('GET', '/city/row?id=1')
  t.equal(row.status, 200)
  t.notMatch(JSON.stringify([row.body, (await ask('GET', '/city')).body]), /token|tops3cret/)
  const { status } = await ask('PATCH', '/city', { before: row.body, row: { token: 'an0ther' } })
  t.equal(status, 200, 'it can be said anew')
  t.match(await db.selectFrom('city').select('token').where('id', '=', 1).execute(), [
    { token: 'an0ther' },
  ])
  const entry = await ask('GET', '/audit_log/row?id=1')
  t.strictSame([entry.body.row_key, entry.body.before, entry.body.after], ['1', {}, {}])
})

onBoth(
  'rows are added, changed and deleted, and that is written down',
  {},
  async (t, { db, ask }) => {
    const added = await ask('POST', '/city', {
      row: { name: 'Nice', country: 'FR', population: null },
    })
    t.strictSame(added, { status: 200, body: { id: 1 } })
    const { body: before } = await ask('GET', '/city/row?id=1')
    t.match(before, { name: 'Nice', population: null, capital: false, kind: 'city' })
    const changed = await ask('PATCH', '/city', { before, row: { population: 342_669 } })
    t.strictSame(changed, { status: 200, body: { id: 1 } })
    const { body: row } = await ask('GET', '/city/row?id=1')
    t.match(row, { name: 'Nice', population: 342_669 })
    t.strictSame(await ask('POST', '/city/delete', { before: row }), {
      status: 200,
      body: { id: 1 },
    })
    t.strictSame(await db.selectFrom('city').select('id').execute(), [])
    const log = await db
      .selectFrom('audit_log')
      .select(['table_name', 'row_key', 'action', 'before', 'after'])
      .orderBy('id')
      .execute()
    t.match(log, [
      { table_name: 'city', row_key: '1', action: 'create' },
      { action: 'change', before: { population: null }, after: { population: 342_669 } },
      { action: 'delete' },
    ])
    for (const [method, path] of [
      ['POST', '/audit_log'],
      ['PATCH', '/audit_log'],
      ['POST', '/audit_log/delete'],
    ] as const) {
      const { body: entry } = await ask('GET', '/audit_log/row?id=1')
      t.equal(
        (await ask(method, path, { before: entry, row: {} })).status,
        403,
        `${method} ${path}`,
      )
    }
    t.equal((await db.selectFrom('audit_log').select('id').execute()).length, 3)
  },
)

onBoth('a row that has changed meanwhile is not changed or deleted', {}, async (t, { db, ask }) => {
  await addCities(db)
  const { body: before } = await ask('GET', '/city/row?id=2')
  await db.updateTable('city').set({ name: 'Lugdunum' }).where('id', '=', 2).execute()
  const refused = await ask('PATCH', '/city', { before, row: { population: 1 } })
  t.match(refused, {
    status: 412,
    body: {
      code: 'PRECONDITION_FAILED',
      data: { row: { id: 2, name: 'Lugdunum', population: 513_275 } },
    },
  })
  t.ok(refused.body.errors.some(({ path }: { path: string }) => path === '/name'))
  t.equal((await ask('POST', '/city/delete', { before })).status, 412)
  t.match(await db.selectFrom('city').selectAll().where('id', '=', 2).execute(), [
    { name: 'Lugdunum', population: 513_275 },
  ])

  const { body: now } = await ask('GET', '/city/row?id=2')
  const answers = await Promise.all(
    [1, 2, 3, 4].map((population) => ask('PATCH', '/city', { before: now, row: { population } })),
  )
  t.strictSame(
    answers.map(({ status }) => status).sort(),
    [200, 412, 412, 412],
    'of several at once one wins',
  )
  const won = answers.findIndex(({ status }) => status === 200) + 1
  t.match(await db.selectFrom('city').select('population').where('id', '=', 2).execute(), [
    { population: won },
  ])

  await db.deleteFrom('city').where('id', '=', 2).execute()
  t.match(await ask('PATCH', '/city', { before: now, row: { population: 7 } }), { status: 404 })
  const { body: other } = await ask('GET', '/city/row?id=1')
  for (const wrong of [{}, { ...other, id: undefined }, { ...other, id: 'x' }, null, [other]])
    t.equal(
      (await ask('POST', '/city/delete', { before: wrong })).status,
      400,
      JSON.stringify(wrong),
    )
  t.equal(
    (await ask('POST', '/city/delete', { before: { id: 1 } })).status,
    412,
    'all that was read counts',
  )
  t.equal((await db.selectFrom('city').select('id').execute()).length, 3)
})

onBoth('what the database refuses is told at its place', {}, async (t, { db, ask }) => {
  await addCities(db)
  const details = ({ body }: Told) => {
    const paths = body.errors?.map(({ path }: { path: string }) => path)
    return [body.code, [...new Set(paths)]]
  }
  const add = (row: object) => ask('POST', '/city', { row })
  t.strictSame(details(await add({ name: 'Paris', country: 'FR' })), [
    'CONFLICT',
    ['/name', '/country'],
  ])
  t.strictSame(details(await add({ name: 'Nice', country: 'ZZ' })), [
    'INVALID_REQUEST',
    ['/country'],
  ])
  t.strictSame(details(await add({ name: '', country: 'FR', population: 'many' })), [
    'INVALID_REQUEST',
    ['/name', '/population'],
  ])
  t.strictSame(details(await add({ country: 'FR' })), ['INVALID_REQUEST', ['/name']])
  t.strictSame(details(await add({ name: 'x', country: 'FR', created_by: 'me' })), [
    'INVALID_REQUEST',
    ['/created_by'],
  ])
  const { body: before } = await ask('GET', '/city/row?id=2')
  t.strictSame(details(await ask('PATCH', '/city', { before, row: { name: 'Paris' } })), [
    'CONFLICT',
    ['/name', '/country'],
  ])
  const { body: country } = await ask('GET', '/country/row?code=FR')
  const used = await ask('POST', '/country/delete', { before: country })
  t.match(used, { status: 409, body: { code: 'CONFLICT', message: /still referred to/ } })
  t.equal((await db.selectFrom('city').select('id').execute()).length, 4)
  t.equal((await db.selectFrom('country').select('code').execute()).length, 2)
})

onBoth('what a row refers to is chosen by a search, or by its key', {}, async (t, { app, ask }) => {
  await dbOf(app)
    .insertInto('country')
    .values(
      Array.from({ length: 30 }, (_, i) => ({
        code: `X${String.fromCharCode(65 + (i % 26))}${''}`.slice(0, 2),
        name: `Land ${i}`,
      })).slice(0, 25),
    )
    .execute()
  const choices = async (query: string) => (await ask('GET', `/city/choices/country${query}`)).body
  t.strictSame(await choices('?search=germ'), [{ value: 'DE', label: 'Germany' }])
  t.strictSame((await choices('?search=FR')).at(0), { value: 'FR', label: 'France' })
  t.strictSame(await choices('?value=FR'), [{ value: 'FR', label: 'France' }])
  t.strictSame(await choices('?value=nothing'), [])
  t.equal((await choices('')).length, 20, 'never all of them')
  t.equal((await ask('GET', '/city/choices/name')).status, 404)
})

const PERMITTED = {
  permissions: isStaff,
  modules: { notes: defineModule({ prefix: '/notes', auth: 'required', resources: notes }) },
} as const

onBoth(
  'with permissions it is for those who have them, with what modules say of who may',
  PERMITTED,
  async (t, { app, db, ask }) => {
    t.equal((await ask('GET', '')).status, 401)
    t.equal((await app.inject('/_/admin')).statusCode, 401)
    t.equal((await ask('GET', '', undefined, 'guest')).status, 403)
    t.match(await ask('GET', '', undefined, 'ann'), { status: 200, body: { user: 'ann' } })
    t.equal(
      (await app.inject({ url: '/_/admin', headers: { 'x-user': 'ann', host: 'admin.example' } }))
        .statusCode,
      200,
    )

    t.match(await ask('POST', '/note', { row: { text: 'mine', pin: '1234' } }, 'ann'), {
      status: 200,
      body: { id: 1 },
    })
    t.match(await ask('POST', '/note', { row: { text: 'of bob' } }, 'bob'), { status: 200 })
    t.match(
      await db.selectFrom('note').select(['owner', 'pin', 'created_by']).orderBy('id').execute(),
      [
        { owner: 'ann', pin: '1234', created_by: 'ann' },
        { owner: 'bob', pin: null },
      ],
    )
    for (const name of ['owner', 'rating'])
      t.equal(
        (await ask('POST', '/note', { row: { text: 'x', [name]: 5 } }, 'ann')).status,
        400,
        name,
      )
    const list = await ask('GET', '/note', undefined, 'ann')
    t.strictSame(
      [list.body.total, Object.keys(list.body.results[0]).slice(0, 3)],
      [1, ['id', 'owner', 'text']],
    )
    t.equal((await ask('GET', '/note', undefined, 'boss')).body.total, 2)
    t.equal((await ask('GET', '/note/row?id=2', undefined, 'ann')).status, 404, 'that of another')
    const { body: bobs } = await ask('GET', '/note/row?id=2', undefined, 'boss')
    t.notOk('rating' in bobs || 'pin' in bobs)
    t.equal((await ask('PATCH', '/note', { before: bobs, row: { text: 'x' } }, 'ann')).status, 404)
    t.equal((await ask('POST', '/note/delete', { before: bobs }, 'bob')).status, 403)
    t.equal((await ask('POST', '/note/delete', { before: bobs }, 'boss')).status, 200)
    t.equal((await db.selectFrom('note').select('id').execute()).length, 1)
  },
)

const WITHIN = {
  modules: {
    notes: defineModule({
      prefix: '/people/:owner/notes',
      resources: modelResources(Note, { within: ['owner'] }),
    }),
  },
}

onBoth('rows that are part of something stay so', WITHIN, async (t, { db, ask }) => {
  const added = await ask('POST', '/note', { row: { owner: 'ann', text: 'one' } })
  t.strictSame(added, { status: 200, body: { id: 1 } })
  const { body: before } = await ask('GET', '/note/row?id=1')
  const row = { text: 'two', owner: 'bob' }
  t.equal((await ask('PATCH', '/note', { before, row })).status, 200)
  t.match(await db.selectFrom('note').select(['owner', 'text']).execute(), [
    { owner: 'ann', text: 'two' },
  ])
  const { body: now } = await ask('GET', '/note/row?id=1')
  t.equal((await ask('POST', '/note/delete', { before: now })).status, 200)
  t.strictSame(await db.selectFrom('note').select('id').execute(), [])
})

onBoth('no page of another makes a change', PERMITTED, async (t, { app, db }) => {
  const add = async (headers: Record<string, string>) => {
    const payload = { row: { text: 'forged' } }
    const answer = await app.inject({
      method: 'POST',
      url: '/_/admin/tables/note',
      headers: { 'x-user': 'ann', ...headers },
      payload,
    })
    return answer.statusCode
  }
  t.equal(await add({}), 403, 'who says nothing')
  t.equal(await add({ host: 'a.example', origin: 'https://b.example' }), 403)
  t.equal(await add({ 'sec-fetch-site': 'cross-site' }), 403)
  t.equal(await add({ 'sec-fetch-site': 'same-site' }), 403)
  t.strictSame(await db.selectFrom('note').select('id').execute(), [])
  t.equal(await add({ 'sec-fetch-site': 'same-origin' }), 200, 'the control')
})

t.test('without permissions it is for this machine alone', async (t) => {
  const [driver] = databaseDrivers
  const { app } = await start(t, driver as DatabaseDriver)
  const get = async (url: string, headers: Record<string, string>, remoteAddress = '127.0.0.1') =>
    (await app.inject({ url, headers, remoteAddress })).statusCode
  for (const url of ['/_/admin', '/_/admin/tables', '/_/admin/tables/city']) {
    t.equal(await get(url, { host: 'localhost:8000' }), 200, url)
    t.equal(await get(url, { host: 'evil.example' }), 403, `${url} by another name`)
    t.equal(await get(url, { host: 'localhost' }, '192.0.2.1'), 403, `${url} from elsewhere`)
  }
  t.equal(await get('/_/admin/tables', { host: 'localhost', origin: 'http://localhost:3000' }), 403)
  const open = await start(t, driver as DatabaseDriver, { hosts: ['dev.internal'] })
  const headers = { host: 'dev.internal:8000' }
  t.equal(
    (await open.app.inject({ url: '/_/admin', headers, remoteAddress: '192.0.2.1' })).statusCode,
    200,
  )
})

t.test('its policy lets run only what it has itself', async (t) => {
  const { app } = await start(t, databaseDrivers[0] as DatabaseDriver)
  const { headers, body } = await app.inject('/_/admin')
  const policy = String(headers['content-security-policy'])
  t.match(policy, /^default-src 'none'; script-src 'sha256-[\w+/=]+'; style-src 'sha256-/)
  t.notMatch(policy, 'unsafe')
  t.notMatch(body, /(src|href)="https?:/)
  t.equal(headers['cache-control'], 'no-store')
})

t.test('what cannot be meant so is told when the app is built', async (t) => {
  const told = async (options: object, isGuarded = true) => {
    const app = Fastify()
    t.teardown(() => app.close())
    if (isGuarded) await app.register(auth)
    app.register(admin as never, { models, ...options } as never)
    app.register(resources, { modules: {} })
    return await failure(Promise.resolve(app.ready()))
  }
  t.match(await told({ permissions: isStaff }, false), { code: 'PLUGIN_MISSING' })
  t.match(await told({ permissions: {} }), { code: 'RESOURCE_INVALID' })
  t.match(await told({ tables: { town: {} } }), { message: /tables.town is an object/ })
  t.match(await told({ tables: { city: true } }), { message: /tables.city is true/ })
  const unlisted = defineResource({ summary: 'Add', perform: () => null })
  t.match(await told({ tables: { city: { create: unlisted } } }), { code: 'RESOURCE_UNLISTED' })
})

t.test('a service says by which resources rows are changed, and what is not there', async (t) => {
  const seen: unknown[] = []
  const rename = defineResource({
    summary: 'Rename a country',
    method: 'PATCH',
    path: '/:code',
    request: Type.Object({
      code: Country.schema.properties.code,
      name: Type.Optional(Type.String({ maxLength: 80 })),
    }),
    async perform({ code, name }, { db }) {
      seen.push([code, name])
      await (db as unknown as Db)
        .updateTable('country')
        .set({ name: `${name}!` })
        .where('code', '=', code)
        .execute()
      return null
    },
  })
  const { db, ask } = await start(t, databaseDrivers[0] as DatabaseDriver, {
    modules: { countries: defineModule({ prefix: '/countries', resources: { rename } }) },
    tables: {
      country: { update: rename, remove: false },
      city: { hidden: ['population'], label: 'id' },
      note: false,
    },
  })
  const { body: before } = await ask('GET', '/country/row?code=FR')
  t.equal((await ask('PATCH', '/country', { before, row: { name: 'Gaul' } })).status, 200)
  t.strictSame(seen, [['FR', 'Gaul']])
  const { body: now } = await ask('GET', '/country/row?code=FR')
  t.equal(now.name, 'Gaul!')
  t.equal((await ask('POST', '/country/delete', { before: now })).status, 403)
  t.equal((await ask('GET', '/note')).status, 404)
  await addCities(db)
  t.notOk('population' in (await ask('GET', '/city/row?id=1')).body)
  t.equal(
    (await ask('POST', '/city', { row: { name: 'x', country: 'FR', population: 1 } })).status,
    400,
  )
})

/** Waits until a field has that text, which no selector sees. */
const holds = (field: Locator, text: string) =>
  poll(async () => (await field.inputValue()) === text)

t.test('in a browser', async (t) => {
  const { app, db } = await start(t, databaseDrivers[0] as DatabaseDriver)
  await addCities(db)
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  const { page, asked, said } = await visit(t, `${origin}/_/admin`)
  const main = page.locator('main')
  const cells = (column: string) => main.locator(`td[data-column="${column}"]`).allTextContents()
  const city = (id: number) =>
    db.selectFrom('city').selectAll().where('id', '=', id).executeTakeFirst()

  await t.test('rows are listed, ordered, searched and filtered', async (t) => {
    await page.getByRole('link', { name: 'city', exact: true }).click()
    await main.getByText('4 rows').waitFor()
    t.strictSame(await cells('name'), ['Paris', 'Lyon', 'Berlin', '100 % <b>'])
    t.equal(await main.locator('td b').count(), 0)
    await main.getByRole('columnheader', { name: 'population' }).getByRole('link').click()
    await main.locator('th[aria-sort=ascending]').filter({ hasText: 'population' }).waitFor()
    t.strictSame(await cells('name'), ['100 % <b>', 'Lyon', 'Paris', 'Berlin'])
    await main.getByLabel('Search').fill('er')
    await main.getByLabel('Search').press('Enter')
    await main.getByText('1 row', { exact: true }).waitFor()
    t.strictSame(await cells('name'), ['Berlin'])
    await main.getByLabel('Search').fill('')
    await main.getByRole('button', { name: 'Search' }).click()
    await main.getByText('4 rows').waitFor()
    await main.getByText('Filter', { exact: true }).first().click()
    await main.getByLabel('country', { exact: true }).fill('germ')
    await page.getByRole('option', { name: 'Germany (DE)' }).click()
    await main.getByRole('button', { name: 'Filter' }).click()
    await main.getByText('2 rows').waitFor()
    t.strictSame((await cells('name')).sort(), ['100 % <b>', 'Berlin'])
    await main.getByRole('link', { name: 'Without filters' }).click()
    await main.getByText('4 rows').waitFor()
  })

  await t.test('a row is changed by keyboard, its country chosen by a search', async (t) => {
    await main.getByRole('link', { name: '2', exact: true }).click()
    const country = main.getByLabel('country', { exact: true })
    await holds(country, 'France (FR)')
    await country.fill('ger')
    await page.getByRole('option', { name: 'Germany (DE)' }).waitFor()
    await country.press('ArrowDown')
    await country.press('Enter')
    t.equal(await country.inputValue(), 'Germany (DE)')
    await main.getByLabel('population').fill('5')
    await main.getByLabel('population').press('Enter')
    await main.getByText('city 2 is saved.').waitFor()
    t.match(await city(2), { country: 'DE', population: 5, name: 'Lyon', about: 'Two rivers' })
  })

  await t.test('what is refused is told at its field', async (t) => {
    await main.getByRole('link', { name: 'Add' }).click()
    await main.getByLabel('name').fill('Berlin')
    await main.getByLabel('country *').fill('DE')
    await main.getByLabel('population').fill('many')
    await main.getByRole('button', { name: 'Save' }).click()
    await main.locator('#f-population-said').getByText('must be integer').waitFor()
    t.equal(await main.getByLabel('population').getAttribute('aria-invalid'), 'true')
    await main.getByLabel('population').fill('')
    await main.getByRole('button', { name: 'Save' }).click()
    await main.locator('#f-name-said').getByText('is taken already').waitFor()
    await main.getByLabel('name').fill('Bonn')
    await main.getByRole('button', { name: 'Save' }).click()
    await main.getByText('city 5 is saved.').waitFor()
    t.match(await city(5), {
      name: 'Bonn',
      country: 'DE',
      population: null,
      capital: false,
      token: null,
    })
  })

  await t.test(
    'a row that has changed meanwhile: both values are shown, and one is chosen',
    async (t) => {
      await main.getByRole('link', { name: '1', exact: true }).click()
      await main.getByLabel('name').fill('Lutetia')
      await db.updateTable('city').set({ name: 'Parisii' }).where('id', '=', 1).execute()
      await main.getByRole('button', { name: 'Save' }).click()
      const said = main.locator('#f-name-said')
      await said.getByText('"Parisii"').waitFor()
      t.equal(
        await said.textContent(),
        'It is "Parisii" now, and was "Paris" when it was read; yours is "Lutetia".',
      )
      t.match(await city(1), { name: 'Parisii' })
      await main.getByRole('button', { name: 'Read it again' }).click()
      await holds(main.getByLabel('name'), 'Parisii')
      await main.getByLabel('name').fill('Paname')
      await db.updateTable('city').set({ population: 9 }).where('id', '=', 1).execute()
      await main.getByRole('button', { name: 'Save' }).click()
      await main.getByRole('button', { name: 'Save mine all the same' }).click()
      await main.getByText('city 1 is saved.').waitFor()
      t.match(await city(1), { name: 'Paname', population: 9 })
    },
  )

  await t.test('a row is deleted, unless another refers to it', async (t) => {
    await main.getByRole('link', { name: '5', exact: true }).click()
    await main.getByRole('button', { name: 'Delete' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('button', { name: 'Delete' }).click()
    await main.getByText('city 5 is deleted.').waitFor()
    t.equal(await city(5), undefined)
    await page.locator('nav').getByRole('link', { name: 'country', exact: true }).click()
    await main.getByRole('link', { name: 'DE', exact: true }).click()
    await main.getByRole('button', { name: 'Delete' }).click()
    await dialog.getByRole('button', { name: 'Delete' }).click()
    await dialog.getByText('still referred to').waitFor()
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'detached' })
    t.equal((await db.selectFrom('country').select('code').execute()).length, 2)
  })

  await t.test('what was changed can be read', async (t) => {
    await page.goto(`${origin}/_/admin#/city/row?id=1`)
    await main.getByRole('link', { name: 'History' }).click()
    await main.getByText('1 row', { exact: true }).waitFor()
    t.strictSame(await cells('action'), ['change'])
  })

  await t.test('it fits a narrow screen, and asks nobody else', async (t) => {
    await page.setViewportSize({ width: 360, height: 640 })
    await page.goto(`${origin}/_/admin#/city`)
    await main.getByText('4 rows').waitFor()
    const width = await page.evaluate('document.documentElement.scrollWidth')
    t.ok(Number(width) <= 360, `it is ${width} wide`)
    t.strictSame(
      asked.filter((url) => !url.startsWith(`${origin}/`)),
      [],
    )
    t.strictSame(
      said.filter((text) => !/status of 4\d\d/.test(text)),
      [],
    )
    t.notMatch(await page.content(), 'tops3cret')
  })
})
