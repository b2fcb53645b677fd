import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import t from 'tap'
import { Type } from 'typebox'
import { defineList } from '../../src/crud/list.ts'
import { modelResources } from '../../src/crud/model-resources.ts'
import { defineScope } from '../../src/crud/scope.ts'
import { defineModel } from '../../src/database/model/define.ts'
import type { Tables } from '../../src/database/model/types.ts'
import { Context } from '../../src/resource/context.ts'
import { defineModule } from '../../src/resource/module.ts'
import { ResourceRegistry } from '../../src/resource/registry.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { onEveryDatabase } from './rows-of.ts'

const text = Type.String({ maxLength: 20 })
const Shop = defineModel('shop', {
  columns: { code: text, city: text },
  primaryKey: ['code'],
})
const Order = defineModel('order', {
  columns: {
    id: Type.Integer({ minimum: 1 }),
    customer: text,
    shop: text,
    title: text,
    parent: Type.Optional(Type.Integer()),
    version: Type.Integer(),
  },
  generated: ['id'],
  foreignKeys: { shop: 'shop.code' },
  softDelete: true,
})
const Staff = defineModel('staff', {
  columns: { shop: text, name: text },
  primaryKey: ['shop', 'name'],
})
const models = [Shop, Order, Staff] as const
type Db = Kysely<Tables<typeof models>>

const list = {
  filters: { title: 'equals', customer: 'equals' },
  search: ['title'],
  order: ['id', 'title'],
} as const
const own = modelResources(Order, {
  scope: ({ user }, query) => query.where('customer', '=', user.id),
  version: 'version',
  list,
})
/** Those of the shops where one works: the table of orders has no word of it. */
const ofStaff = defineScope(Order, ({ user }, query) =>
  query.where(({ exists, selectFrom }) =>
    exists(
      selectFrom('staff' as never)
        .select(sql`1`.as('one'))
        .where(sql<boolean>`staff.shop = ${sql.ref('order.shop')} and staff.name = ${user.id}`),
    ),
  ),
)
/** Raw SQL with an `or`, and a condition that reads the table itself: those of one's own and the parents of these. */
const family = defineScope(
  Order,
  ({ user }, query) =>
    query.where(
      sql<boolean>`customer = ${user?.id ?? ''} or id in (select parent from ${sql.table('order')} as child where child.customer = ${user?.id ?? ''})`,
    ),
  { nobody: true },
)
const joined = defineList(Type.Object({ id: Type.Integer(), title: text, city: text }), {
  from: (db) =>
    (db as unknown as Db)
      .selectFrom('order')
      .innerJoin('shop', 'shop.code', 'order.shop')
      .select(['order.id', 'order.title', 'shop.city']),
  scope: ofStaff,
  filters: { city: 'equals' },
  order: ['city'],
  key: 'id',
})
let narrow: (query: { where(...condition: unknown[]): unknown }) => unknown = () => undefined
const broken = modelResources(Order, {
  scope: ((_: unknown, query: never) => narrow(query)) as never,
})
const thrown = modelResources(Order, {
  scope() {
    throw new Error('the secret reason')
  },
})

/** Caches how many orders there are in the scope, for each user or for all. */
function countOf(path: string, perUser: boolean) {
  return defineResource({
    summary: 'How many',
    path,
    response: Type.Integer(),
    cache: { ttl: 60_000, perUser },
    perform: async () => (await own.list()).total,
  })
}

const modules = {
  orders: defineModule({ prefix: '/orders', resources: own }),
  shops: defineModule({ prefix: '/shops', resources: modelResources(Shop) }),
  staff: defineModule({
    prefix: '/staff',
    resources: modelResources(Staff, {
      scope: ({ user }, query) => query.where('name', '=', user.id),
    }),
  }),
  all: defineModule({
    prefix: '/all',
    resources: { count: countOf('/count', false), mine: countOf('/mine', true) },
  }),
  work: defineModule({ prefix: '/work', resources: modelResources(Order, { scope: ofStaff }) }),
  family: defineModule({ prefix: '/family', resources: modelResources(Order, { scope: family }) }),
  joined: defineModule({
    prefix: '/joined',
    resources: {
      list: defineResource({
        summary: 'Orders with their cities',
        request: joined.request,
        response: joined.response,
        perform: (input, { db }) => joined.paginate(db, input),
      }),
    },
  }),
  broken: defineModule({ prefix: '/broken', resources: broken }),
  thrown: defineModule({ prefix: '/thrown', resources: thrown }),
}

const order = (customer: string, title: string, shop = 'a') => ({ customer, title, shop })

/** Alice has 1 and 3, Bob has 2 and 4; Ann works in the shop of 1 and 2, Ben in that of 3 and 4. */
function withOrders(name: string, test: Parameters<typeof onEveryDatabase>[3]): void {
  onEveryDatabase(t, name, { models, modules }, async (t, as, app) => {
    const db = app.db as unknown as Db
    await db
      .insertInto('shop')
      .values([
        { code: 'a', city: 'Lyon' },
        { code: 'b', city: 'Paris' },
      ])
      .execute()
    await db
      .insertInto('staff')
      .values([
        { shop: 'a', name: 'ann' },
        { shop: 'b', name: 'ben' },
      ])
      .execute()
    for (const [row, parent] of [
      [order('alice', 'one')],
      [order('bob', 'two'), 1],
      [order('alice', 'three', 'b')],
      [order('bob', 'four', 'b'), 3],
    ] as const)
      await db
        .insertInto('order')
        .values({ ...row, parent: parent ?? null, version: 1 })
        .execute()
    await test(t, as, app)
  })
}

const rowsOf = (db: unknown) =>
  (db as Db)
    .selectFrom('order')
    .select(['id', 'customer', 'title'])
    .orderBy('id')
    .execute()
    .then((rows) => rows.map(({ id, customer, title }) => `${id} ${customer} ${title}`))

const BEFORE = ['1 alice one', '2 bob two', '3 alice three', '4 bob four']

withOrders('no operation reaches the row of another user', async (t, as, app) => {
  const there = { ...order('alice', 'mine'), parent: null }
  for (const id of [2, 99]) {
    for (const [method, body] of [
      ['GET', undefined],
      ['PUT', there],
      ['PATCH', { title: 'mine' }],
      ['PATCH', {}],
      ['DELETE', undefined],
    ] as const) {
      const answer = await as('alice', method, `/orders/${id}`, body)
      t.match(answer, { status: 404, data: null, message: `There is no order ${id}` }, method)
    }
  }
  t.strictSame(await rowsOf(app.db), BEFORE)
})

withOrders('a list is filtered, searched, ordered and counted within the scope', async (t, as) => {
  const titles = async (user: string, query: string) => {
    const { data } = await as(user, 'GET', `/orders${query}`)
    const { total, results } = data as { total: number; results: { title: string }[] }
    return [total, ...results.map(({ title }) => title)]
  }
  t.strictSame(await titles('alice', ''), [2, 'one', 'three'])
  t.strictSame(await titles('bob', '?order=title'), [2, 'four', 'two'])
  t.strictSame(await titles('alice', '?title=two'), [0])
  t.strictSame(await titles('alice', '?customer=bob'), [0])
  t.strictSame(await titles('alice', '?search=o'), [1, 'one'], 'four and two are not hers')
  t.strictSame(await titles('alice', '?page=2&page_size=1'), [2, 'three'])
  t.strictSame(await titles('carol', ''), [0])
})

withOrders('what is written is in the scope, or nothing is', async (t, as, app) => {
  const outside = (path = '') => ({
    status: 403,
    code: 'FORBIDDEN',
    errors: [{ path, message: 'would be a row that this user may not have' }],
  })
  t.match(await as('alice', 'POST', '/orders', order('bob', 'five')), outside())
  const many = [order('alice', 'five'), order('bob', 'six'), order('alice', 'seven')]
  t.match(await as('alice', 'POST', '/orders/bulk', many), outside('/1'))
  t.match(await as('alice', 'PATCH', '/orders/1', { customer: 'bob' }), outside())
  t.match(await as('alice', 'PUT', '/orders/1', order('bob', 'one')), outside())
  t.strictSame(await rowsOf(app.db), BEFORE)
  t.match(await as('alice', 'POST', '/orders', order('alice', 'eight')), { status: 201 })
  const fitting = [order('alice', 'nine'), order('alice', 'ten')]
  t.match(await as('alice', 'POST', '/orders/bulk', fitting), { status: 201 })
  t.match(await as('alice', 'PATCH', '/orders/1', { title: 'new' }), {
    status: 200,
    data: { title: 'new', version: 2 },
  })
  t.match(await as('alice', 'DELETE', '/orders/3'), { status: 200 })
  const after = await rowsOf(app.db)
  t.strictSame(
    after.map((row) => row.replace(/^\d+ /, '')),
    ['alice new', 'bob two', 'bob four', 'alice eight', 'alice nine', 'alice ten'],
  )
})

withOrders(
  'a condition finds the row of another as little as one that is not there',
  async (t, as, app) => {
    const { etag } = await as('bob', 'GET', '/orders/2')
    t.equal(etag, '"1"')
    for (const tag of [String(etag), '*']) {
      const headers = { 'if-match': tag }
      for (const id of [2, 99]) {
        for (const [method, body] of [
          ['PATCH', { title: 'mine' }],
          ['PUT', order('alice', 'mine')],
          ['DELETE', undefined],
        ] as const) {
          const { status } = await as('alice', method, `/orders/${id}`, body, headers)
          t.equal(status, 412, `${method} ${id} ${tag}`)
        }
      }
    }
    const seen = await as('alice', 'GET', '/orders/2', undefined, { 'if-none-match': String(etag) })
    t.match(seen, { status: 404, etag: undefined })
    t.strictSame(await rowsOf(app.db), BEFORE)
    const own = { 'if-match': '"1"' }
    t.match(await as('alice', 'PATCH', '/orders/1', { title: 'new' }, own), { status: 200 })
    t.match(await as('alice', 'PATCH', '/orders/1', { title: 'newer' }, own), { status: 412 })
  },
)

withOrders('nobody has no rows', async (t, as, app) => {
  for (const [method, url, body] of [
    ['GET', '/orders', undefined],
    ['GET', '/orders/1', undefined],
    ['POST', '/orders', order('alice', 'x')],
    ['POST', '/orders/bulk', [order('alice', 'x')]],
    ['PUT', '/orders/1', order('alice', 'x')],
    ['PATCH', '/orders/1', { title: 'x' }],
    ['DELETE', '/orders/1', undefined],
    ['GET', '/joined', undefined],
  ] as const)
    t.match(await as(undefined, method, url, body), { status: 401, code: 'UNAUTHENTICATED' }, url)
  t.strictSame(await rowsOf(app.db), BEFORE)
  t.match(await as(undefined, 'GET', '/family/1'), { status: 404 }, 'where it is asked for nobody')
})

withOrders(
  'the service itself has all rows, and what is cached for all is not its own',
  async (t, as, app) => {
    await app.run(async () => {
      t.match(await own.list(), { total: 4 })
      t.match(await own.update({ id: 2, title: 'sold' }), { title: 'sold' })
    })
    t.match(await as('alice', 'GET', '/all/count'), { status: 401 }, 'it is made for nobody')
    t.match(await as('alice', 'GET', '/all/mine'), { status: 200, data: 2 })
  },
)

withOrders('a scope that fails, or says nothing, gives nothing', async (t, as, app) => {
  const and = (condition: object) => (e: { and(condition: object): unknown }) => e.and(condition)
  const results: (typeof narrow)[] = [
    () => undefined,
    () => Promise.resolve(),
    () => (app.db as unknown as Db).selectFrom('order'),
    () => (app.db as unknown as Db).selectFrom('shop').where('code', '=', 'a'),
    // Kysely leaves out what is undefined: that would be every row.
    (query) => query.where(and({ customer: undefined })),
    (query) => query.where((e: { or(all: unknown[]): unknown }) => e.or([and({})(e as never)])),
  ]
  for (const result of results) {
    narrow = result
    for (const [method, url, body] of [
      ['GET', '', undefined],
      ['GET', '/1', undefined],
      ['PATCH', '/1', { title: 'x' }],
      ['DELETE', '/1', undefined],
    ] as const) {
      t.match(await as('alice', method, `/broken${url}`, body), { status: 500, data: null })
      const { status, data, message } = await as('alice', method, `/thrown${url}`, body)
      t.strictSame([status, data, message?.includes('secret')], [500, null, false])
    }
  }
  t.strictSame(await rowsOf(app.db), BEFORE)
})

withOrders("a value that is undefined is no row's", async (t, as, app) => {
  narrow = (query) => query.where('customer', '=', undefined)
  const { status, data } = await as('alice', 'GET', '/broken')
  t.ok(status === 500 || (data as { total: number }).total === 0)
  for (const method of ['GET', 'DELETE'] as const)
    t.match((await as('alice', method, '/broken/1')).data, null)
  t.strictSame(await rowsOf(app.db), BEFORE)
})

withOrders('a scope looks into other tables, and into its own', async (t, as, app) => {
  const ids = async (user: string, url: string) => {
    const { data } = await as(user, 'GET', url)
    return (data as { results: { id: number }[] }).results.map(({ id }) => id)
  }
  t.strictSame(await ids('ann', '/work'), [1, 2])
  t.strictSame(await ids('ben', '/joined?order=city'), [3, 4])
  t.strictSame(await ids('ben', '/joined?city=Lyon'), [])
  t.match(await as('ann', 'PATCH', '/work/3', { title: 'x' }), { status: 404 })
  t.match(await as('ann', 'PATCH', '/work/2', { shop: 'b' }), { status: 403 })
  t.match(await as('ann', 'PATCH', '/work/2', { title: 'sold' }), { status: 200 })
  t.strictSame(await ids('bob', '/family'), [1, 2, 3, 4])
  t.strictSame(await ids('alice', '/family'), [1, 3])
  t.match(await as('alice', 'DELETE', '/family/2'), { status: 404 })
  for (const method of ['GET', 'DELETE'] as const)
    t.match(await as('bob', method, '/family/99'), { status: 404 }, 'the key counts for all of it')
  t.match(await as('bob', 'PATCH', '/family/3', { title: 'paid' }), { status: 200 })
  t.match(await as('bob', 'DELETE', '/family/1'), { status: 200 })
  t.strictSame(await rowsOf(app.db), ['2 bob sold', '3 alice paid', '4 bob four'])
})

withOrders('a key of several columns is within the scope, too', async (t, as) => {
  t.match(await as('ann', 'GET', '/staff/a/ann'), { status: 200 })
  t.match(await as('ann', 'GET', '/staff/b/ben'), { status: 404 })
  t.match(await as('ann', 'DELETE', '/staff/b/ben'), { status: 404 })
  const many = [
    { shop: 'b', name: 'ann' },
    { shop: 'c', name: 'ben' },
  ]
  t.match(await as('ann', 'POST', '/staff/bulk', many), { status: 403, errors: [{ path: '/1' }] })
  t.match(await as('ann', 'POST', '/staff/bulk', many.slice(0, 1)), { status: 201 })
  t.match(await as('ann', 'GET', '/staff'), { data: { total: 2 } })
})

withOrders('a scope narrows any query of its table', async (t, _, app) => {
  const db = app.db as unknown as Db
  const context = new Context(app)
  context.user = { id: 'bob' }
  for (const scope of [
    family,
    defineScope(Order, ({ user }, q) => q.where('customer', '=', user.id)),
  ]) {
    const found = await scope(
      context,
      db.selectFrom('order').select('id').where(sql<boolean>`1 = 1 or 1 = 1`).orderBy('id'),
    ).execute()
    t.strictSame(
      found.map(({ id }) => id),
      scope === family ? [1, 2, 3, 4] : [2, 4],
    )
  }
  context.user = { id: 'alice' }
  const changed = await family(
    context,
    db.updateTable('order').set({ title: 'x' }).where(sql<boolean>`id = 1 or id = 2`),
  ).executeTakeFirst()
  t.equal(changed?.numUpdatedRows, 1n)
  const deletion = family(context, db.deleteFrom('order'))
  // MySQL refuses it otherwise, MariaDB does not.
  t.match(deletion.compile().sql, /in \(select \* from \(select distinct .* as .in_scope.\)/)
  await deletion.execute()
  t.strictSame(await rowsOf(db), ['2 bob two', '4 bob four'])
})

t.test('what is made of the rows of some is cached for each alone', async (t) => {
  const cached = (cache: object, scope = true) =>
    defineResource({
      summary: 'Orders',
      cache: { ttl: 1000, ...cache },
      ...(scope && { scope: family }),
      perform: () => null,
    })
  const boot = (resource: ReturnType<typeof cached>) => () =>
    new ResourceRegistry({ orders: defineModule({ prefix: '/orders', resources: { resource } }) })
  t.throws(boot(cached({ perUser: false })), {
    code: 'RESOURCE_INVALID',
    message: /orders\.resource.*perUser is false, and its scope gives each user other rows/,
  })
  t.doesNotThrow(boot(cached({})))
  t.doesNotThrow(boot(cached({ anonymous: { ttl: 1000, perUser: false } })))
  t.doesNotThrow(boot(cached({ perUser: false }, false)))
  t.throws(() =>
    boot(
      defineResource({ ...own.list.definition, cache: { ttl: 1000, perUser: false } }) as never,
    )(),
  )
})
