import { createHash } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { type Kysely, sql } from 'kysely'
import t from 'tap'
import { Type } from 'typebox'
import { defineList } from '../../src/crud/list.ts'
import { modelResources } from '../../src/crud/model-resources.ts'
import { defineModel } from '../../src/database/model/define.ts'
import { column, decimal, timestamp } from '../../src/database/model/schemas.ts'
import { createClient } from '../../src/remote/client.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createTables } from '../database/model/fixture.ts'
import { createService } from '../helpers/app.ts'
import { databaseDrivers } from '../helpers/drivers.ts'
import { type As, onEveryDatabase } from './rows-of.ts'

const Item = defineModel('item', {
  columns: {
    id: Type.Integer(),
    name: Type.String({ maxLength: 20 }),
    size: Type.Optional(Type.Integer()),
    far: column(Type.Integer(), { type: 'bigint' }),
    price: Type.Optional(decimal(8, 2)),
    rate: Type.Number(),
    open: Type.Boolean(),
    seen: Type.Optional(timestamp()),
    exact: column(Type.String({ format: 'date-time' }), {
      type: { sqlite: 'datetime(6)', mysql: 'datetime(6)' },
    }),
    day: Type.String({ format: 'date' }),
    opens: column(Type.String(), { type: { sqlite: 'time', mysql: 'time(3)' } }),
    tags: Type.Optional(Type.Array(Type.String())),
  },
  generated: ['id'],
  indexes: [['size']],
})
const COLUMNS = [
  'id',
  'name',
  'size',
  'far',
  'price',
  'rate',
  'open',
  'seen',
  'exact',
  'day',
  'opens',
] as const

const items = modelResources(Item, {
  scope: (_, query) => query.where('name', '!=', 'hidden'),
  list: {
    pages: 'cursor',
    order: COLUMNS,
    filters: { min_size: { operator: 'from', column: 'size' }, open: 'equals' },
    search: ['name'],
    fields: ['id', 'name', 'price'],
    pageSize: 2,
  },
})
// Without a scope its statements are kept.
const kept = modelResources(Item, {
  only: ['list'],
  list: { pages: 'cursor', order: COLUMNS, count: 'optional', pageSize: 3 },
})
const grouped = defineList(Type.Object({ size: Type.Integer(), items: Type.Integer() }), {
  pages: 'cursor',
  count: true,
  order: ['items', 'size'],
  key: 'size',
  pageSize: 1,
})
const sizes = defineResource({
  summary: 'By size',
  path: '/sizes',
  request: grouped.request,
  response: grouped.response,
  perform: (input, { db }) =>
    grouped.paginate(
      (db as unknown as Kysely<{ item: { size: number } }>)
        .selectFrom('item')
        .select(['size', sql<number>`count(*)`.as('items')])
        .where('size', 'is not', null)
        .groupBy('size'),
      input,
    ),
})
const modules = {
  items: defineModule({ prefix: '/items', resources: items }),
  kept: defineModule({ prefix: '/kept', resources: { ...kept, sizes } }),
}

type Row = Record<string, unknown>
type Page = { next_cursor: string | null; total?: number; results: Row[] }

/** Times that differ by microseconds, floats, decimals with and without zeros, ties and nulls of each. */
async function fill({ db }: FastifyInstance, isMysql: boolean): Promise<void> {
  const rows = Array.from({ length: 14 }, (_, i) => ({
    name: i === 5 ? 'hidden' : `item ${'cbadefg'[i % 7]}`,
    size: i % 3 === 0 ? null : i % 4,
    far: 2n ** 60n + BigInt(i % 5),
    price: i % 4 === 0 ? null : ['1.50', '1.05', '20.00'][i % 3],
    rate: [0.1, 1 / 3, 1e-7, 5][i % 4],
    open: i % 2,
    seen:
      i % 5 === 0
        ? null
        : sql`${isMysql ? `2026-01-0${1 + (i % 3)} 10:00:00` : `2026-01-0${1 + (i % 3)}T10:00:00.000Z`}`,
    exact: sql`${`2026-01-01 10:00:00.12345${i % 6}`}`,
    day: `2026-02-0${1 + (i % 2)}`,
    opens: `10:00:0${i % 3}${isMysql ? '.500' : ''}`,
  }))
  await (db as unknown as Kysely<{ item: Row }>).insertInto('item').values(rows).execute()
}

async function read(as: As, url: string): Promise<Page> {
  const { status, data, errors } = await as('ann', 'GET', url)
  if (status !== 200) throw Object.assign(new Error(`${status} of ${url}`), { errors })
  return data as Page
}

async function readAll(as: As, url: string, from = ''): Promise<Row[]> {
  const found: Row[] = []
  for (let cursor: string | null = from; cursor !== null; ) {
    const page: Page = await read(as, `${url}${cursor && `&cursor=${cursor}`}`)
    found.push(...page.results)
    cursor = page.next_cursor
  }
  return found
}

const ORDERS = [
  ...COLUMNS,
  ...COLUMNS.map((name) => `-${name}`),
  'size,-name',
  '-size,price',
  'open,-rate',
  '-seen,size,-exact',
  'day,-price,far',
]

onEveryDatabase(
  t,
  'pages by cursor are the whole',
  { models: [Item], modules },
  async (t, as, app) => {
    t.strictSame(await read(as, '/items?order=name'), { next_cursor: null, results: [] })
    await fill(app, app.db.getExecutor().adapter.supportsReturning === false)
    for (const path of ['/items', '/kept']) {
      for (const order of ORDERS) {
        const whole = await read(as, `${path}?page_size=100&order=${order}`)
        t.equal(whole.next_cursor, null)
        t.equal(whole.results.length, path === '/items' ? 13 : 14)
        t.notOk(Object.keys(whole.results[0] as Row).some((name) => name.startsWith('cursor')))
        t.strictSame(
          await readAll(as, `${path}?order=${order}`),
          whole.results,
          `${path} by ${order}`,
        )
      }
    }
    const some = await read(
      as,
      '/items?page_size=100&min_size=1&open=true&search=item&order=-price',
    )
    const query = 'min_size=1&open=true&search=item&order=-price'
    t.strictSame(await readAll(as, `/items?${query}`), some.results, 'with filters')
    t.strictSame(
      await readAll(as, `/items?${query}&fields=name`),
      some.results.map(({ name }) => ({ name })),
      'with a few fields',
    )
  },
)

onEveryDatabase(
  t,
  'rows come and go meanwhile',
  { models: [Item], modules },
  async (t, as, app) => {
    await fill(app, app.db.getExecutor().adapter.supportsReturning === false)
    const first = await read(as, '/items?order=name&page_size=3')
    const db = app.db as unknown as Kysely<{ item: Row }>
    const whole = await read(as, '/items?order=name&page_size=100')
    const [gone, last] = [first.results[0] as Row, first.results[2] as Row]
    await db.deleteFrom('item').where('id', 'in', [gone.id, last.id]).execute()
    const { id: _, ...row } = whole.results[3] as Row
    const copy = { ...row, tags: null, seen: null, price: null, exact: sql`'2026-01-01 10:00:00'` }
    await db
      .insertInto('item')
      .values([
        { ...copy, name: 'a first' },
        { ...copy, name: 'z last' },
      ])
      .execute()
    const rest = await readAll(as, '/items?order=name&page_size=3', first.next_cursor as string)
    t.strictSame(
      rest.map(({ name }) => name),
      [...whole.results.slice(3).map(({ name }) => name), 'z last'],
      'none is told twice or left out, though the row of the cursor is gone',
    )
  },
)

onEveryDatabase(t, 'the count of all', { models: [Item], modules }, async (t, as, app) => {
  await fill(app, app.db.getExecutor().adapter.supportsReturning === false)
  t.notOk('total' in (await read(as, '/items')))
  t.notOk('total' in (await read(as, '/kept')))
  const counted = await read(as, '/kept?count=true&page_size=5')
  t.equal(counted.total, 14)
  t.equal((await read(as, `/kept?count=true&page_size=5&cursor=${counted.next_cursor}`)).total, 14)
  const first = await read(as, '/kept/sizes?order=-items')
  t.equal(first.total, 4)
  const found = await readAll(as, '/kept/sizes?order=-items')
  t.equal(found.length, 4, 'rows of groups have cursors, too')
  await app.run(async () => {
    const page = await kept.list({ order: '-far', page_size: 1 })
    const next = await kept.list({
      order: '-far',
      page_size: 1,
      cursor: page.next_cursor as string,
    })
    t.not(next.results[0]?.id, page.results[0]?.id)
  })
})

const FOREIGN = {
  status: 400,
  code: 'INVALID_REQUEST',
  errors: [
    {
      path: '/cursor',
      message: 'belongs to no page of this order and these filters; begin again without it',
    },
  ],
}

onEveryDatabase(
  t,
  'a cursor that is none is refused',
  { models: [Item], modules },
  async (t, as, app) => {
    await fill(app, app.db.getExecutor().adapter.supportsReturning === false)
    const { next_cursor } = await read(as, '/items?order=name')
    const cursor = next_cursor as string
    const send = (query: string) => as('ann', 'GET', `/items?${query}`)
    for (const query of [
      '',
      'order=-name',
      'order=name&open=true',
      'order=name&search=item',
      'order=name,size',
    ])
      t.match(await send(`${query}&cursor=${cursor}`), FOREIGN, `of another request: ${query}`)
    for (let i = 0; i < cursor.length; i += 3) {
      const other = cursor[i] === 'A' ? 'B' : 'A'
      const changed = `${cursor.slice(0, i)}${other}${cursor.slice(i + 1)}`
      t.match(await send(`order=name&cursor=${changed}`), FOREIGN, `changed at ${i}`)
    }
    for (const text of [
      cursor.slice(1),
      cursor.slice(0, -4),
      `${cursor}AAAA`,
      'x',
      'bnVsbA',
      '%22',
      'W10',
    ])
      t.match(await send(`order=name&cursor=${text}`), FOREIGN, text)
    t.match(await send('cursor='), { status: 400 })
    t.match(await send(`cursor=${'x'.repeat(5000)}`), { status: 400 })
    t.match(await send(`cursor=${cursor}&cursor=${cursor}`), { status: 400 })
    // Whoever has read how it is made.
    const forge = (order: string, values: unknown[]) => {
      const asked = JSON.stringify([order, undefined, undefined, undefined])
      const digest = createHash('sha256')
        .update(`${asked} ${JSON.stringify(values)}`)
        .digest()
      const whole = [digest.toString('base64url', 0, 6), ...values]
      return `order=${order}&cursor=${Buffer.from(JSON.stringify(whole)).toString('base64url')}`
    }
    t.match(
      await send(forge('name', ['item c', 1])),
      { status: 200 },
      'gets what it may see anyway',
    )
    for (const [order, value] of [
      ['name', null],
      ['name', { a: 1 }],
      ['name', ['x']],
      ['size', 'x'],
      ['size', true],
      ['far', '9'.repeat(30)],
      ['open', 'yes'],
      ['rate', '1'],
      ['price', '1; drop'],
      ['seen', 5],
    ] as const)
      t.match(await send(forge(order, [value, 1])), FOREIGN, `${order} ${JSON.stringify(value)}`)
    for (const time of ['x', '2026-99-99 10:00:00', '2026-01-01 99:00:00'])
      t.match(
        (await send(forge('seen', [time, 1]))).status,
        app.db.getExecutor().adapter.supportsReturning ? 200 : 400,
      )
    t.match(await send(forge('name', ['item c'])), FOREIGN, 'too few')
    t.match(await send(forge('name', ['item c', 1, 2])), FOREIGN, 'too many')
  },
)

t.test('what has no order that a cursor can tell is refused at once', async (t) => {
  const define = (order: 'tags' | 'id') =>
    defineList(Item.schema, { pages: 'cursor', order: [order], key: 'id' })
  t.throws(() => define('tags'), {
    code: 'RESOURCE_INVALID',
    message: /tags is JSON or bytes, and no cursor can say where it is; take it out of order/,
  })
  t.strictSame(Object.keys(define('id').request.properties), ['cursor', 'page_size', 'order'])
  const Cursor = Type.Object({ id: Type.Integer(), cursor: Type.Integer() })
  t.throws(
    () =>
      defineList(Cursor, {
        pages: 'cursor',
        filters: { cursor: 'equals' },
        order: ['id'],
        key: 'id',
      }),
    { message: /a filter cannot be called cursor/ },
  )
})

for (const driver of databaseDrivers) {
  t.test(`by every way (${driver.name})`, async (t) => {
    const open = { kept: defineModule({ prefix: '/kept', resources: { ...kept, sizes } }) }
    const service = { name: 'items', models: [Item], modules: open }
    const url = await driver.url(t)
    const { app } = await createService(t, {}, { ...service, variables: { DATABASE_URL: url } })
    await createTables(app.db, driver, [Item])
    await fill(app, driver.name === 'mysql')
    const client = createClient<typeof service>({
      url: await app.listen({ host: '127.0.0.1', port: 0 }),
      retry: false,
    })
    const caller = await createService(t, {}, { name: 'caller' })
    await caller.app.run(async () => {
      const first = await client.kept.list({ order: '-seen,name' })
      const second = await client.kept.list({
        order: '-seen,name',
        cursor: first.next_cursor as string,
      })
      const both = await app.run(() => kept.list({ order: '-seen,name', page_size: 6 }))
      t.strictSame(
        [...first.results, ...second.results].map(({ id }) => id),
        both.results.map(({ id }) => id),
      )
      await t.rejects(client.kept.list({ cursor: first.next_cursor as string }), {
        code: 'INVALID_REQUEST',
        statusCode: 400,
        errors: FOREIGN.errors,
      })
    })
    await app.run(async () => {
      const inputs = [{ order: 'name' }, { order: 'name', cursor: 'x' }]
      const settled = await kept.list.bulk(inputs, { settled: true })
      t.match(settled, [{ status: 'fulfilled' }, { reason: { code: 'INVALID_REQUEST' } }])
      const page = await kept.list({ order: 'name' })
      const task = await kept.list.enqueue({ order: 'name', cursor: page.next_cursor as string })
      const next = await kept.list({ order: 'name', cursor: page.next_cursor as string })
      const { results } = await task.result()
      t.strictSame(
        results.map(({ id }) => id),
        next.results.map(({ id }) => id),
      )
    })
    const { paths } = (await app.inject('/openapi.json')).json()
    const { parameters, responses } = paths['/kept'].get
    t.ok(parameters.some(({ name }: { name: string }) => name === 'cursor'))
    t.notOk(parameters.some(({ name }: { name: string }) => name === 'page'))
    const { data } = responses[200].content['application/json'].schema.properties
    t.strictSame(data.required, ['next_cursor', 'results'])
  })
}
