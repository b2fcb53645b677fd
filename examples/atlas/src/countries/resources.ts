import { type Context, defineList, defineResource, notFound, Type } from 'plinth'
import { Country } from './model.ts'

const countryList = defineList(Country.schema, {
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
  perform: (input, { db }) => countryList.paginate(db.selectFrom('country').selectAll(), input),
})

const byCode = Type.Object({ code: Country.schema.properties.code })

const CountryWithTotals = Type.Object({
  ...Country.schema.properties,
  totals: Type.Object({
    cities: Type.Integer({ description: 'How many of its cities are known here' }),
    population: Type.Integer({ description: 'How many people live in those' }),
  }),
})

export const retrieve = defineResource({
  summary: 'One country with the totals of its cities',
  path: '/:code',
  request: byCode,
  response: CountryWithTotals,
  examples: { request: { code: 'FR' } },
  // Every way to change a city moves one of the two.
  async etag({ code }, { db }) {
    const { cities, changed } = await db
      .selectFrom('city')
      .select(({ fn }) => [fn.countAll<number>().as('cities'), fn.max('updated_at').as('changed')])
      .where('country', '=', code)
      .executeTakeFirstOrThrow()
    return changed === null ? undefined : `${cities}-${Date.parse(changed)}`
  },
  async perform({ code }, { db }) {
    const country = await db
      .selectFrom('country')
      .selectAll()
      .where('code', '=', code)
      .executeTakeFirst()
    return country ? { ...country, totals: await totals(db, code) } : notFound('country', code)
  },
})

async function totals(db: Context['db'], code: string) {
  const { cities, population } = await db
    .selectFrom('city')
    .select(({ fn }) => [
      fn.countAll<number>().as('cities'),
      fn.sum<string | number | null>('population').as('population'),
    ])
    .where('country', '=', code)
    .executeTakeFirstOrThrow()
  // A sum is a decimal, which MySQL's driver gives as text, and null where there is no row.
  return { cities, population: Number(population ?? 0) }
}
