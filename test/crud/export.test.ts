import type { Kysely } from 'kysely'
import t from 'tap'
import { Type } from 'typebox'
import { definePermission } from '../../src/auth/permission.ts'
import { modelResources } from '../../src/crud/model-resources.ts'
import { defineModel } from '../../src/database/model/define.ts'
import type { Tables } from '../../src/database/model/types.ts'
import { defineModule } from '../../src/resource/module.ts'
import { createService } from '../helpers/app.ts'
import { onEveryDatabase } from './rows-of.ts'

const text = Type.String({ maxLength: 40 })
const Bill = defineModel('bill', {
  columns: {
    id: Type.Integer({ minimum: 1 }),
    owner: text,
    shop: Type.Integer(),
    title: text,
    paid: Type.Boolean(),
    note: Type.Optional(text),
    pin: text,
  },
  generated: ['id'],
})
const models = [Bill] as const
type Db = Kysely<Tables<typeof models>>

const isClerk = definePermission({
  name: 'isClerk',
  reason: 'only clerks may do this',
  allows: ({ user }) => user?.id === 'clerk',
})
const list = {
  filters: { paid: 'equals', shops: { operator: 'in', column: 'shop' } },
  search: ['title'],
  fields: ['id', 'title'],
  pageSize: 2,
} as const

const mine = modelResources(Bill, {
  export: true,
  fields: { hidden: ['note'], writeOnly: ['pin'] },
  scope: ({ user }, query) => query.where('owner', '=', user.id),
  list,
})
const staff = modelResources(Bill, {
  export: true,
  only: ['list'],
  permissions: { list: isClerk },
  fields: { hidden: ['note', 'pin'] },
})
const open = modelResources(Bill, {
  export: true,
  only: ['list'],
  auth: 'public',
  permissions: {},
  fields: { hidden: ['note', 'pin'] },
  within: ['shop'],
})
const modules = {
  mine: defineModule({ prefix: '/bills', auth: 'required', resources: mine }),
  staff: defineModule({ prefix: '/staff', auth: 'required', resources: staff }),
  open: defineModule({ prefix: '/shops/:shop/bills', auth: 'public', resources: open }),
}

const rows = Array.from({ length: 1100 }, (_, at) => ({
  owner: at % 2 === 0 ? 'ann' : 'bob',
  shop: at % 3,
  title: at === 4 ? 'a "b", c' : `bill ${at}`,
  paid: at % 4 === 0,
  note: 'internal',
  pin: '4711',
}))

onEveryDatabase(
  t,
  'an export has the rows of the list, all of them',
  { models, modules, decides: true },
  async (t, as, app) => {
    const db = app.db as unknown as Db
    for (let at = 0; at < rows.length; at += 100)
      await db
        .insertInto('bill')
        .values(rows.slice(at, at + 100))
        .execute()
    const get = async (user: string | undefined, url: string) => {
      const headers = user === undefined ? {} : { 'x-user': user }
      const { statusCode, body, headers: told } = await app.inject({ url, headers })
      return { status: statusCode, body, headers: told }
    }
    /** Of a list, page by page. */
    const listed = async (user: string, query: string) => {
      const found: unknown[] = []
      for (let page = 1; ; page++) {
        const { data } = await as(user, 'GET', `/bills?page_size=200&page=${page}&${query}`)
        const { results, num_pages } = data as { results: unknown[]; num_pages: number }
        found.push(...results)
        if (page >= num_pages) return found
      }
    }

    const { status, body, headers } = await get('ann', '/bills/export')
    t.equal(status, 200)
    t.match(headers, {
      'content-type': 'text/csv; charset=utf-8',
      'content-disposition': 'attachment; filename="bill.csv"',
    })
    const lines = body.split('\r\n')
    t.equal(lines.length, 1 + 550 + 1)
    t.equal(lines[0], 'id,owner,shop,title,paid')
    t.match(lines[3], /^5,ann,1,"a ""b"", c",(1|true)$/)

    for (const query of [
      '',
      'paid=true',
      'shops=1&shops=2',
      'search=bill 1',
      'paid=false&search=9',
    ]) {
      const { body, headers } = await get('ann', `/bills/export?format=json&${query}`)
      t.equal(headers['content-type'], 'application/json; charset=utf-8')
      t.strictSame(JSON.parse(body), await listed('ann', query), query)
    }
    const ndjson = await get('bob', '/bills/export?format=ndjson&paid=false')
    t.equal(ndjson.headers['content-type'], 'application/x-ndjson')
    const found = ndjson.body.trimEnd().split('\n')
    t.strictSame(
      found.map((line) => JSON.parse(line)),
      await listed('bob', 'paid=false'),
    )
    t.notMatch(body + ndjson.body, /internal|4711/)

    for (const url of ['/bills/export?note=x', '/bills/export?page=2', '/bills/export?format=xls'])
      t.equal((await get('ann', url)).status, 400, url)
    t.equal((await get(undefined, '/bills/export')).status, 401)
    t.equal((await get('ann', '/staff/export')).status, 403, 'who may not list may not export')
    t.equal((await get('clerk', '/staff/export')).body.split('\r\n').length, 1102)
    t.equal((await get('clerk', '/staff')).status, 200)
    const ofShop = await get(undefined, '/shops/2/bills/export?format=json')
    t.equal(JSON.parse(ofShop.body).length, 366)
    t.ok(JSON.parse(ofShop.body).every(({ shop }: { shop: number }) => shop === 2))
    t.equal((await get('ann', '/bills/export?format=json&search=none')).body, '[]')
    t.equal((await get('ann', '/bills/export?search=none')).body, 'id,owner,shop,title,paid\r\n')
    t.equal(
      (await app.inject({ method: 'HEAD', url: '/bills/export', headers: { 'x-user': 'ann' } }))
        .body,
      '',
    )
  },
)

t.test('there is none unless it is said, and the API document has it', async (t) => {
  t.notOk('export' in modelResources(Bill, {}))
  // @ts-expect-error it is not there
  modelResources(Bill, {}).export
  const { permissions, auth } = modelResources(Bill, {
    export: true,
    auth: { list: 'public', export: 'required' },
    permissions: { export: isClerk },
  }).export.definition
  t.strictSame([permissions, auth], [isClerk, 'required'], 'its own goes before that of the list')
  t.throws(
    () =>
      modelResources(Bill, {
        export: true,
        list: { filters: { format: { operator: 'equals', column: 'title' } } },
      }),
    {
      code: 'RESOURCE_INVALID',
      message: /a filter cannot be called format/,
    },
  )
  const { app } = await createService(
    t,
    {},
    {
      models,
      auth: true,
      modules: { mine: modules.mine },
      variables: { DOCS: 'true', DATABASE_URL: 'sqlite::memory:' },
    },
  )
  const { paths } = (await app.inject('/openapi.json')).json()
  const { parameters, responses } = paths['/bills/export'].get
  t.strictSame(
    parameters.map(({ name }: { name: string }) => name),
    ['paid', 'shops', 'search', 'format'],
  )
  t.match(parameters[3].schema, { enum: ['csv', 'ndjson', 'json'], default: 'csv' })
  t.strictSame(Object.keys(responses[200].content), [
    'text/csv',
    'application/x-ndjson',
    'application/json',
  ])
})
