import { defineList, defineResource, notFound, Type } from 'plinth'
import { Country } from './model.ts'

const countryList = defineList(Country.schema, {
  from: (db) => db.selectFrom('country').select(Country.columns),
  filters: { region: 'equals', name: 'contains' },
  order: ['code', 'name', 'area'],
  key: 'code',
  pageSize: 300,
})

export const list = defineResource({
  summary: 'Countries, page by page',
  request: countryList.request,
  response: countryList.response,
  examples: { request: { region: 'Europe', order: 'name' } },
  perform: (input, { db }) => countryList.paginate(db, input),
})

const byCode = Type.Object({ code: Country.schema.properties.code })

const byCountry = ({ code }: { code: string }) => [`country:${code}`]

const Totals = Type.Object({
  cities: Type.Integer({ description: 'How many of its cities are known here' }),
  population: Type.Integer({ description: 'How many people live in those' }),
})

/** Takes a look at every city of a country: done again when one of them has changed. */
export const totals = defineResource({
  summary: 'The totals of the cities of a country',
  path: '/:code/totals',
  request: byCode,
  response: Type.Object({
    ...Totals.properties,
    changed: Type.Union([Type.String(), Type.Null()], {
      description: 'When one of them was last added or changed',
    }),
  }),
  examples: { request: { code: 'FR' } },
  cache: { ttl: '1h', stale: '10m', perUser: false, tags: byCountry },
  async perform({ code }, { db }) {
    const { population, ...found } = await db
      .selectFrom('city')
      .select(({ fn }) => [
        fn.countAll<number>().as('cities'),
        fn.sum<string | number | null>('population').as('population'),
        fn.max('updated_at').as('changed'),
      ])
      .where('country', '=', code)
      .executeTakeFirstOrThrow()
    // A sum is a decimal, which MySQL's driver gives as text, and null where there is no row.
    return { ...found, population: Number(population ?? 0) }
  },
})

export const retrieve = defineResource({
  summary: 'One country with the totals of its cities',
  path: '/:code',
  request: byCode,
  response: Type.Object({ ...Country.schema.properties, totals: Totals }),
  examples: { request: { code: 'FR' } },
  cache: { ttl: '1h', stale: '10m', negative: '1m', perUser: false, tags: byCountry },
  // Every way to change a city moves one of the two.
  async etag({ code }) {
    const { cities, changed } = await totals({ code })
    return changed === null ? undefined : `${cities}-${Date.parse(changed)}`
  },
  async perform({ code }, { db }) {
    const country = await db
      .selectFrom('country')
      .select(Country.columns)
      .where('code', '=', code)
      .executeTakeFirst()
    if (!country) return notFound('country', code)
    const { cities, population } = await totals({ code })
    return { ...country, totals: { cities, population } }
  },
})
