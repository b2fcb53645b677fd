import { type Kysely, type SelectQueryBuilder, sql } from 'kysely'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { defineList } from '../../src/crud/list.ts'
import { defineModel } from '../../src/database/model/define.ts'
import type { Model } from '../../src/database/model/types.ts'
import { inTransaction } from '../../src/database/transaction.ts'
import type { Database } from '../../src/database/types.ts'
import { openModels } from '../database/model/fixture.ts'
import { databaseDrivers } from '../helpers/drivers.ts'

const Country = defineModel('country', {
  columns: { id: Type.Integer(), name: Type.String({ maxLength: 20 }) },
})
const City = defineModel('city', {
  columns: {
    id: Type.Integer(),
    name: Type.String({ maxLength: 20 }),
    country: Type.Integer(),
    size: Type.Integer(),
  },
  softDelete: true,
})
const models: readonly Model[] = [Country, City]

interface Tables {
  country: { id: number; name: string }
  city: { id: number; name: string; country: number; size: number; deleted_at: Date | null }
}
type Db = Kysely<Tables>

const countries = [
  { id: 1, name: 'Arland' },
  { id: 2, name: 'Borland' },
  { id: 3, name: 'Corland' },
]
const cities = [
  { id: 1, name: 'Alpha', country: 1, size: 10 },
  { id: 2, name: 'Beta', country: 1, size: 20 },
  { id: 3, name: 'Alpha', country: 2, size: 30 },
  { id: 4, name: 'Gamma', country: 2, size: 10 },
  { id: 5, name: 'Delta', country: 2, size: 50 },
]

const Joined = Type.Object({
  id: Type.Integer(),
  name: Type.String(),
  country: Type.String(),
  size: Type.Integer(),
})
const joined = defineList(Joined, {
  filters: {
    name: 'equals',
    country: 'contains',
    country_id: { operator: 'equals', column: 'id' },
    min_size: { operator: 'from', column: 'size' },
  },
  search: ['name', 'country'],
  order: ['id', 'name', 'size', 'country'],
  fields: ['id', 'country'],
  key: 'id',
  pageSize: 2,
})

/** Both tables have `id` and `name`, and a city's `country` is a number: the result's is a name. */
const withCountry = (db: Db) =>
  db
    .selectFrom('city')
    .innerJoin('country', 'country.id', 'city.country')
    .select(['city.id', 'city.name', 'country.name as country', 'city.size'])

const Grouped = Type.Object({
  country: Type.Integer(),
  cities: Type.Integer(),
  size: Type.Integer(),
})
const grouped = defineList(Grouped, {
  filters: { country: 'equals', min_cities: { operator: 'from', column: 'cities' } },
  order: ['cities', 'size'],
  key: 'country',
  pageSize: 2,
})

const byCountry = (db: Db) =>
  db
    .selectFrom('city')
    .select(({ fn }) => [
      'country',
      fn.countAll<number>().as('cities'),
      fn.max<number>('size').as('size'),
    ])
    .groupBy('country')

const Named = Type.Object({ name: Type.String() })
const names = defineList(Named, { filters: { name: 'contains' }, order: ['name'], key: 'name' })

function onEveryDatabase(name: string, test: (t: Test, db: Db) => Promise<void>): void {
  for (const driver of databaseDrivers) {
    t.test(`${name} (${driver.name})`, async (t) => {
      const db = await openModels(t, driver, { url: await driver.url(t), models })
      await test(t, db as unknown as Db)
    })
  }
}

async function fill(db: Db): Promise<void> {
  await db.insertInto('country').values(countries).execute()
  await db
    .insertInto('city')
    .values(cities.map((city) => ({ ...city, deleted_at: null })))
    .execute()
}

const idsOf = ({ results }: { results: readonly object[] }) =>
  results.map((row) => (row as { id: number }).id)

onEveryDatabase('a join is filtered, searched and ordered by what it gives', async (t, db) => {
  const page = (input: object) => joined.paginate(withCountry(db), input)
  t.strictSame(await page({}), { page: 1, num_pages: 1, total: 0, results: [] }, 'empty tables')
  await fill(db)
  t.strictSame(await page({ order: '-size', page: 2 }), {
    page: 2,
    num_pages: 3,
    total: 5,
    results: [
      { id: 2, name: 'Beta', country: 'Arland', size: 20 },
      { id: 4, name: 'Gamma', country: 'Borland', size: 10 },
    ],
  })
  t.match(await page({ name: 'Alpha' }), { total: 2, results: [{ id: 1 }, { id: 3 }] })
  t.match(await page({ country: 'bor', min_size: 30 }), {
    total: 2,
    results: [{ id: 3 }, { id: 5 }],
  })
  t.match(await page({ country_id: 4 }), { total: 1, results: [{ id: 4 }] })
  t.strictSame(idsOf(await page({ search: 'arl' })), [1, 2], 'in the name of the country')
  t.strictSame(idsOf(await page({ order: '-country,name' })), [3, 5])
  t.strictSame((await page({ fields: 'country,id' })).results, [
    { country: 'Arland', id: 1 },
    { country: 'Arland', id: 2 },
  ])
  await db.deleteFrom('city').where('id', '=', 3).execute()
  t.match(
    await page({ name: 'Alpha' }),
    { total: 1, results: [{ id: 1 }] },
    'flagged rows are hidden',
  )
})

onEveryDatabase('rows that a join multiplies are counted and paged as such', async (t, db) => {
  const Pair = Type.Object({ id: Type.Integer(), name: Type.String() })
  const pairs = defineList(Pair, { order: ['name'], key: 'id', pageSize: 2 })
  const query = db
    .selectFrom('country')
    .leftJoin('city', 'city.country', 'country.id')
    .select(['country.id', sql<string>`coalesce(city.name, '-')`.as('name')])
  t.strictSame(await pairs.paginate(query, {}), { page: 1, num_pages: 1, total: 0, results: [] })
  await fill(db)
  t.strictSame(await pairs.paginate(query, { order: 'name', page: 3 }), {
    page: 3,
    num_pages: 3,
    total: 6,
    results: [
      { id: 2, name: 'Delta' },
      { id: 2, name: 'Gamma' },
    ],
  })
})

onEveryDatabase('groups are counted, not the rows in them', async (t, db) => {
  const page = (input: object) => grouped.paginate(byCountry(db), input)
  t.strictSame(await page({}), { page: 1, num_pages: 1, total: 0, results: [] }, 'empty tables')
  await fill(db)
  const one = { country: 1, cities: 2, size: 20 }
  const two = { country: 2, cities: 3, size: 50 }
  t.strictSame(await page({ order: '-cities' }), {
    page: 1,
    num_pages: 1,
    total: 2,
    results: [two, one],
  })
  t.match(await page({ min_cities: 3 }), { total: 1, results: [two] }, 'of what is aggregated')
  t.match(await page({ country: 1 }), { total: 1, results: [one] })
  t.match(await page({ page_size: 1, page: 2, order: 'size' }), { total: 2, results: [two] })
  const large = byCountry(db).having(({ fn }) => fn.countAll(), '>', 2)
  t.strictSame(await grouped.paginate(large, {}), {
    page: 1,
    num_pages: 1,
    total: 1,
    results: [two],
  })
})

onEveryDatabase('distinct rows are counted once', async (t, db) => {
  const query = db.selectFrom('city').select('name').distinct()
  t.strictSame(await names.paginate(query, {}), { page: 1, num_pages: 1, total: 0, results: [] })
  await fill(db)
  const found = await names.paginate(query, { name: 'a', page_size: 3, order: '-name' })
  t.strictSame(found, {
    page: 1,
    num_pages: 2,
    total: 4,
    results: [{ name: 'Gamma' }, { name: 'Delta' }, { name: 'Beta' }],
  })
})

onEveryDatabase('unions, limits and other names are lists, too', async (t, db) => {
  await fill(db)
  const union = db
    .selectFrom('city')
    .select('name')
    .union(db.selectFrom('country').select('name'))
    .orderBy('name', 'desc')
  t.strictSame(await names.paginate(union, { name: 'l', page_size: 3 }), {
    page: 1,
    num_pages: 2,
    total: 5,
    results: [{ name: 'Alpha' }, { name: 'Arland' }, { name: 'Borland' }],
  })
  const largest = db.selectFrom('city').select('name').orderBy('size', 'desc').limit(2)
  t.match(await names.paginate(largest, { order: 'name' }), {
    total: 2,
    results: [{ name: 'Alpha' }, { name: 'Delta' }],
  })
  const upper = db
    .selectFrom('country')
    .select(({ fn }) => fn<string>('upper', ['name']).as('name'))
  t.match(await names.paginate(upper, { name: 'COR' }), {
    total: 1,
    results: [{ name: 'CORLAND' }],
  })
})

onEveryDatabase('an order of the query of one table comes first', async (t, db) => {
  await fill(db)
  const Place = Type.Object({ id: Type.Integer(), name: Type.String() })
  const places = defineList(Place, { order: ['id'], key: 'id' })
  const query = db.selectFrom('city as c').select(['c.id', 'c.name']).orderBy('name')
  const found = await places.paginate(query, { order: '-id' })
  t.match([found.total, idsOf(found)], [5, [3, 1, 2, 5, 4]])
})

onEveryDatabase('a list that says what it lists keeps its statements', async (t, db) => {
  let built = 0
  const list = defineList(Joined, {
    from: (db) => {
      built++
      return withCountry(db as unknown as Db)
    },
    filters: { name: 'equals', min_size: { operator: 'from', column: 'size' } },
    search: ['name', 'country'],
    order: ['id', 'size'],
    key: 'id',
    pageSize: 2,
  })
  const database = db as unknown as Database
  const page = (input: object, db = database) => list.paginate(db, input)
  t.match(await page({}), { total: 0, results: [] })
  await fill(db)
  t.match(await page({ name: 'Alpha' }), { total: 2, results: [{ id: 1 }, { id: 3 }] })
  t.match(await page({ name: 'Gamma', page_size: 1, page: 2 }), { total: 1, results: [] })
  const known = built
  t.match(await page({ name: 'Delta' }), { total: 1, results: [{ id: 5 }] })
  t.match(await page({ name: 'Alpha', page_size: 1, page: 2 }), { total: 2, results: [{ id: 3 }] })
  t.match(await page({}), { total: 5, results: [{ id: 1 }, { id: 2 }] })
  t.equal(built, known, 'the same questions with other values build nothing')
  t.match(await page({ name: 'Alpha', min_size: 20 }), { total: 1, results: [{ id: 3 }] })
  t.match(await page({ search: 'arl', order: '-size' }), {
    total: 2,
    results: [{ id: 2 }, { id: 1 }],
  })
  t.match(await page({ search: 'eta' }), { total: 1, results: [{ id: 2 }] })
  await t.rejects(
    inTransaction(database, async (trx) => {
      await (trx as unknown as Db).deleteFrom('city').where('id', '<', 5).execute()
      t.match(await page({}, trx), { total: 1, results: [{ id: 5 }] }, 'within the transaction')
      throw new Error('undone')
    }),
    { message: 'undone' },
  )
  t.match(await page({}), { total: 5 })
})

onEveryDatabase('later pages of one table are what follows the first', async (t, db) => {
  await fill(db)
  await db.deleteFrom('city').where('id', '=', 4).execute()
  const Place = Type.Object({ id: Type.Integer(), name: Type.String(), size: Type.Integer() })
  const list = defineList(Place, {
    from: (db) =>
      (db as unknown as Db).selectFrom('city').select(['id', 'name', 'size']).where('id', '>', 0),
    filters: { max_size: { operator: 'to', column: 'size' } },
    search: ['name'],
    order: ['name', 'size'],
    fields: ['name'],
    key: ['name', 'id'],
    pageSize: 1,
  })
  const page = (input: object) => list.paginate(db as unknown as Database, input)
  const all = async (input: object, pages: number) => {
    const found = await Promise.all(
      Array.from({ length: pages }, (_, i) => page({ ...input, page: i + 1 })),
    )
    return found.flatMap(idsOf)
  }
  t.strictSame(await all({ order: '-size' }, 5), [5, 3, 2, 1])
  t.strictSame(await all({ order: 'name' }, 5), [1, 3, 2, 5])
  t.strictSame(await all({ max_size: 30, search: 'a', order: '-name' }, 4), [2, 3, 1])
  t.strictSame(await page({ fields: 'name', page: 2 }), {
    page: 2,
    num_pages: 4,
    total: 4,
    results: [{ name: 'Alpha' }],
  })
})

onEveryDatabase('rows are counted only where that is asked for', async (t, db) => {
  await fill(db)
  const Place = Type.Object({ id: Type.Integer(), name: Type.String() })
  const all = db.selectFrom('city').select(['id', 'name']) as SelectQueryBuilder<
    Tables,
    'city',
    { id: number; name: string }
  >
  const options = { order: ['id'], key: 'id', pageSize: 2 } as const
  const optional = defineList(Place, { ...options, count: 'optional' })
  t.match(await optional.paginate(all, { page: 3 }), { num_pages: 3, total: 5, has_more: false })
  t.strictSame(await optional.paginate(all, { count: false, page: 2 }), {
    page: 2,
    has_more: true,
    results: [
      { id: 3, name: 'Alpha' },
      { id: 4, name: 'Gamma' },
    ],
  })
  const never = defineList(Place, { ...options, count: false })
  t.strictSame(await never.paginate(all, { page: 3 }), {
    page: 3,
    has_more: false,
    results: [{ id: 5, name: 'Delta' }],
  })
  t.notOk('count' in never.request.properties)
  t.notOk('total' in never.response.properties)
  t.strictSame((optional.response as unknown as { required: string[] }).required, [
    'page',
    'has_more',
    'results',
  ])
})

t.test('a database alone is no list', async (t) => {
  const list = defineList(Named, { order: ['name'], key: 'name' })
  const db = { getExecutor: () => undefined } as unknown as Database
  t.throws(() => list.paginate(db, {}), {
    code: 'RESOURCE_INVALID',
    message: /declare it with `from`/,
  })
})
