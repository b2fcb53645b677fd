import {
  type Context,
  defineList,
  defineResource,
  errors,
  notFound,
  prepareQuery,
  type Static,
  Type,
} from 'plinth'
import { isAdmin } from '../users.ts'
import { City } from './model.ts'

const key = { id: City.schema.properties.id }
const byId = Type.Object(key)

const cityList = defineList(City.schema, {
  from: (db) => db.selectFrom('city').select(City.columns),
  filters: {
    country: 'equals',
    name: 'contains',
    min_population: { operator: 'from', column: 'population' },
    max_population: { operator: 'to', column: 'population' },
  },
  order: ['id', 'name', 'population'],
  key: 'id',
  // There are 135,000: all of them can be read.
  maxDepth: 200_000,
})

const paris = {
  name: 'Paris',
  country: 'FR',
  population: 2_138_551,
  lat: 48.85341,
  lon: 2.3488,
}
const stamp = '2026-11-22T12:00:00.000Z'
const example = { id: 2_988_507, ...paris, created_at: stamp, updated_at: stamp }

export const list = defineResource({
  summary: 'Cities, page by page',
  auth: 'public',
  request: cityList.request,
  response: cityList.response,
  examples: { request: { country: 'FR', name: 'par', page_size: 20, order: '-population' } },
  perform: (input, { db }) => cityList.paginate(db, input),
})

export const retrieve = defineResource({
  summary: 'One city',
  auth: 'public',
  path: '/:id',
  request: byId,
  response: City.schema,
  examples: { request: { id: example.id }, response: example },
  cache: {
    ttl: '1m',
    stale: '5m',
    negative: '5s',
    perUser: false,
    tags: ({ id }) => [`city:${id}`],
  },
  perform: ({ id }, { db }) => find(db, id),
})

export const create = defineResource({
  summary: 'Add a city',
  method: 'POST',
  status: 201,
  request: City.input,
  response: City.schema,
  examples: { request: paris, response: example },
  async perform(city, { db, cache }) {
    await assertCountry(db, city.country)
    const { insertId } = await db.insertInto('city').values(city).executeTakeFirstOrThrow()
    const id = Number(insertId)
    await cache.invalidate(`city:${id}`, `country:${city.country}`)
    return await find(db, id)
  },
})

export const replace = defineResource({
  summary: 'Replace a city',
  method: 'PUT',
  path: '/:id',
  request: Type.Object({ ...key, ...City.input.properties }),
  response: City.schema,
  examples: { request: { id: example.id, ...paris }, response: example },
  perform: ({ id, ...city }, context) => change(id, city, context),
})

export const update = defineResource({
  summary: 'Change some fields of a city',
  method: 'PATCH',
  path: '/:id',
  request: Type.Object({ ...key, ...City.patch.properties }),
  response: City.schema,
  examples: {
    request: { id: example.id, population: 2_103_778 },
    response: { ...example, population: 2_103_778 },
  },
  perform: ({ id, ...city }, context) => change(id, city, context),
})

export const remove = defineResource({
  summary: 'Delete a city',
  method: 'DELETE',
  permissions: isAdmin,
  path: '/:id',
  request: byId,
  async perform({ id }, { db, cache }) {
    const { country } = await find(db, id)
    await db.deleteFrom('city').where('id', '=', id).execute()
    await cache.invalidate(`city:${id}`, `country:${country}`)
    return null
  },
})

type Database = Context['db']

async function change(id: number, city: Static<typeof City.patch>, { db, cache }: Context) {
  if (city.country !== undefined) await assertCountry(db, city.country)
  const before = await find(db, id)
  if (Object.keys(city).length > 0)
    await db.updateTable('city').set(city).where('id', '=', id).execute()
  const after = await find(db, id)
  // Both: it may have moved from one to the other.
  await cache.invalidate(`city:${id}`, `country:${before.country}`, `country:${after.country}`)
  return after
}

/** As it is in the database: who changes a city must not see what the cache still has. */
async function find(db: Database, id: number) {
  const [found] = await byKey(db, id)
  return found ?? notFound('city', id)
}

const byKey = prepareQuery((db, id: number) =>
  db.selectFrom('city').select(City.columns).where('id', '=', id),
)

async function assertCountry(db: Database, code: string): Promise<void> {
  const [found] = await countryByCode(db, code)
  if (found) return
  throw errors.INVALID_REQUEST.with(
    { errors: [{ path: '/country', message: `there is no country ${code}` }] },
    'cities',
  )
}

const countryByCode = prepareQuery((db, code: string) =>
  db.selectFrom('country').select('code').where('code', '=', code),
)
