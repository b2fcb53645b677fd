import Fastify from 'fastify'
import type { Kysely } from 'kysely'
import t from 'tap'
import { Type } from 'typebox'
import docs from '../../plugins/docs.ts'
import envelope from '../../plugins/envelope.ts'
import resources from '../../plugins/resources.ts'
import { modelResources } from '../../src/crud/model-resources.ts'
import { defineModel } from '../../src/database/model/define.ts'
import type { Tables } from '../../src/database/model/types.ts'
import { defineModule } from '../../src/resource/module.ts'
import { onEveryDatabase } from './rows-of.ts'

const text = Type.String({ maxLength: 40 })
const Account = defineModel('account', {
  columns: {
    id: Type.Integer({ minimum: 1 }),
    owner: text,
    name: text,
    state: Type.Enum(['open', 'closed'], { default: 'open' }),
    internal_note: Type.Optional(text),
    serial: Type.Optional(text),
    password: Type.String({ maxLength: 80 }),
    version: Type.Integer(),
  },
  generated: ['id'],
  unique: [['serial'], ['name', 'internal_note']],
  audit: true,
})
const models = [Account] as const
type Db = Kysely<Tables<typeof models>>

const accounts = modelResources(Account, {
  fields: {
    hidden: ['internal_note', 'serial'],
    readOnly: ['state'],
    writeOnly: ['password'],
  },
  fill: { owner: ({ user }) => user.id, serial: ({ user }) => (user.id === 'eve' ? 'x' : null) },
  version: 'version',
  list: {
    filters: { owner: 'equals', state: 'equals' },
    search: ['name'],
    order: ['id', 'name'],
    fields: ['id', 'name', 'state'],
  },
})

const quiet = modelResources(Account, {
  fields: { hidden: ['version'] },
  version: 'version',
  only: ['retrieve', 'update'],
})

const modules = {
  accounts: defineModule({ prefix: '/accounts', resources: accounts }),
  quiet: defineModule({ prefix: '/quiet', resources: quiet }),
}
const given = { name: 'one', password: 'p1' }

function withAccounts(name: string, test: Parameters<typeof onEveryDatabase>[3]): void {
  onEveryDatabase(t, name, { models, modules }, async (t, as, app) => {
    await (app.db as unknown as Db)
      .insertInto('account')
      .values({
        owner: 'bob',
        name: 'first',
        state: 'closed',
        internal_note: 'bad payer',
        serial: 'x',
        password: 'p0',
        version: 1,
      })
      .execute()
    await test(t, as, app)
  })
}

const rowsOf = ({ db }: { db: unknown }) =>
  (db as Db)
    .selectFrom('account')
    .select(['id', 'owner', 'name', 'state', 'internal_note', 'serial', 'password', 'version'])
    .orderBy('id')
    .execute()

const FIRST = {
  id: 1,
  owner: 'bob',
  name: 'first',
  state: 'closed',
  internal_note: 'bad payer',
  serial: 'x',
  password: 'p0',
  version: 1,
}

const SHOWN = [
  'created_at',
  'created_by',
  'id',
  'name',
  'owner',
  'state',
  'updated_at',
  'updated_by',
  'version',
]

withAccounts('no answer has what is hidden or only written', async (t, as, app) => {
  const names = (row: unknown) => Object.keys(row as object).sort()
  t.strictSame(names((await as('ann', 'POST', '/accounts', given)).data), SHOWN)
  t.strictSame(names((await as('ann', 'GET', '/accounts/1')).data), SHOWN)
  t.strictSame(names((await as('ann', 'PATCH', '/accounts/1', { name: 'x' })).data), SHOWN)
  t.strictSame(names((await as('ann', 'PUT', '/accounts/1', given)).data), SHOWN)
  const { data } = await as('ann', 'GET', '/accounts')
  for (const row of (data as { results: object[] }).results) t.strictSame(names(row), SHOWN)
  t.strictSame((await as('ann', 'POST', '/accounts/bulk', [given])).data, [{ id: 3 }])
  await app.run(async () => {
    t.strictSame(names(await accounts.retrieve({ id: 1 })), SHOWN, 'in process, too')
  })
})

withAccounts('a request says no more than it may', async (t, as, app) => {
  const more = {
    internal_note: 'x',
    serial: 'y',
    state: 'open',
    owner: 'ann',
    version: 9,
    created_by: 'ann',
    created_at: '2026-01-01T00:00:00Z',
    updated_by: 'ann',
    updated_at: '2026-01-01T00:00:00Z',
    id: 7,
  }
  for (const [name, value] of Object.entries(more)) {
    const body = { ...given, [name]: value }
    for (const [method, url, payload, path] of [
      ['POST', '/accounts', body, `/${name}`],
      ['POST', '/accounts/bulk', [given, body], `/1/${name}`],
      ['PUT', '/accounts/1', body, `/${name}`],
      ['PATCH', '/accounts/1', { [name]: value }, `/${name}`],
    ] as const) {
      const { status, errors } = await as('ann', method, url, payload)
      t.match({ status, errors }, { status: 400, errors: [{ path }] }, `${method} ${url} ${name}`)
    }
  }
  t.strictSame(await rowsOf(app), [FIRST])
})

withAccounts('a list cannot be asked for what is not shown', async (t, as) => {
  for (const query of [
    'internal_note=bad',
    'password=p0',
    'order=internal_note',
    'order=-password',
    'fields=id,internal_note',
    'fields=password',
  ]) {
    t.match(await as('ann', 'GET', `/accounts?${query}`), { status: 400, data: null }, query)
  }
  t.match(await as('ann', 'GET', '/accounts?search=payer'), { data: { total: 0 } })
  t.match(await as('ann', 'GET', '/accounts?search=p0'), { data: { total: 0 } })
  t.match(await as('ann', 'GET', '/accounts?fields=id,state'), {
    data: { results: [{ id: 1, state: 'closed' }] },
  })
})

withAccounts('what no client says stays, and is filled in', async (t, as, app) => {
  await as('ann', 'PUT', '/accounts/1', { name: 'put', password: 'p2' })
  await as('ann', 'PATCH', '/accounts/1', { password: 'p3' })
  await as('ann', 'POST', '/accounts', given)
  await as('cat', 'POST', '/accounts/bulk', [{ name: 'two', password: 'p4' }])
  const made = { state: 'open', internal_note: null, serial: null, version: 1 }
  t.strictSame(await rowsOf(app), [
    { ...FIRST, name: 'put', password: 'p3', version: 3 },
    { id: 2, owner: 'ann', name: 'one', password: 'p1', ...made },
    { id: 3, owner: 'cat', name: 'two', password: 'p4', ...made },
  ])
  t.match(await as(undefined, 'POST', '/accounts', given), { status: 401 })
  t.match(await as(undefined, 'POST', '/accounts/bulk', [given]), { status: 401 })
  t.equal((await rowsOf(app)).length, 3)
})

withAccounts('an error does not name what is hidden', async (t, as) => {
  const answer = await as('eve', 'POST', '/accounts', given)
  t.match(answer, { status: 409, message: /^There is another account with the same values; / })
  t.notMatch(JSON.stringify(answer), /serial/)
})

withAccounts('a tag is of a version that is hidden', async (t, as) => {
  const { etag, data } = await as('ann', 'GET', '/quiet/1')
  t.equal(etag, '"1"')
  t.notHas(data, { version: 1 })
  const change = (tag: string) => as('ann', 'PATCH', '/quiet/1', { name: 'x' }, { 'if-match': tag })
  t.match(await change('"0"'), { status: 412 })
  const changed = await change('"1"')
  t.equal(changed.status, 200)
  t.notHas(changed.data, { version: 2 })
  t.match(await change('"1"'), { status: 412 })
})

t.test('lists that cannot be meant so are refused', async (t) => {
  const make = (fields: object, more: object = {}) =>
    modelResources(Account, { fields, ...more } as never)
  const refused = (message: RegExp, fields: object, more?: object) =>
    t.throws(() => make(fields, more), { code: 'RESOURCE_INVALID', message })
  const fill = { owner: () => 'x' }
  refused(/hidden names nope; there are id, owner/, { hidden: ['nope'] })
  refused(/id is in the primary key, which paths have; it cannot be hidden/, { hidden: ['id'] })
  refused(/state is both hidden and readOnly/, { hidden: ['state'], readOnly: ['state'] })
  refused(/created_by is filled in.*make it hidden/, { writeOnly: ['created_by'] })
  refused(/a new row needs owner, which no request may have/, { readOnly: ['owner'] })
  refused(
    /fill has owner, which is no column, or one that clients write/,
    { writeOnly: ['owner'] },
    { fill },
  )
  refused(
    /its rows have no password/,
    { writeOnly: ['password'] },
    { list: { order: ['password'] } },
  )
  refused(
    /its rows have no state/,
    { hidden: ['state'] },
    { list: { filters: { s: { operator: 'equals', column: 'state' } } } },
  )
  refused(/its rows have no state/, { hidden: ['state'] }, { list: { fields: ['state'] } })
  refused(/its rows have no state/, { hidden: ['state'] }, { list: { search: ['state'] } })
  t.doesNotThrow(() => make({ readOnly: ['owner'] }, { fill }))
  t.doesNotThrow(() => make({ readOnly: ['owner'] }, { only: ['list', 'update', 'replace'] }))
})

t.test('the API document says what is read and what is written', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(envelope)
  app.register(docs, { title: 'Accounts', version: '1.0.0' })
  app.register(resources, { modules: { accounts: modules.accounts } })
  const document = (await app.inject('/openapi.json')).json()
  const { post } = document.paths['/accounts/'] ?? document.paths['/accounts']
  const propertiesOf = ({ content }: { content: Record<string, { schema: object }> }) =>
    schemaOf(document, content['application/json']?.schema).properties
  const body = propertiesOf(post.requestBody)
  t.strictSame(Object.keys(body), ['name', 'password'])
  t.equal(body.password.writeOnly, true)
  const row = schemaOf(document, propertiesOf(post.responses[201]).data).properties
  t.strictSame(Object.keys(row).sort(), SHOWN)
  const onlyRead = Object.keys(row).filter((name) => schemaOf(document, row[name]).readOnly)
  t.strictSame(onlyRead.sort(), ['owner', 'state', 'version'])
  t.notMatch(JSON.stringify(document), /internal_note|serial/)
})

// biome-ignore lint/suspicious/noExplicitAny: a document is what it is
function schemaOf(document: any, schema: any): any {
  const name = schema.$ref?.replace('#/components/schemas/', '')
  return name === undefined ? schema : document.components.schemas[name]
}
