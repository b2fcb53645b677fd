import type { FastifyInstance } from 'fastify'
import { sql } from 'kysely'
import { containing, type Database, databaseOf, numPages, parseOrder } from './database.ts'
import { enveloped, notFound, success } from './envelope.ts'
import { ByCode, Country, CountryQuery, CountryWithTotals, Nothing, pageOf } from './schemas.ts'

/** The routes of countries. */
export async function countries(app: FastifyInstance): Promise<void> {
  const db = databaseOf(app)

  app.get<{ Querystring: CountryQuery }>(
    '/',
    { schema: { querystring: CountryQuery, response: { 200: enveloped(pageOf(Country)) } } },
    async (request) => success(await selectCountries(db, request.query), request),
  )
  app.get<{ Params: ByCode }>(
    '/:code',
    {
      schema: {
        params: ByCode,
        querystring: Nothing,
        response: { 200: enveloped(CountryWithTotals) },
      },
    },
    async (request, reply) => {
      const { code } = request.params
      const state = await selectState(db, code)
      if (state.changed !== null) {
        const etag = `"${state.cities}-${Date.parse(state.changed)}"`
        reply.header('etag', etag).header('cache-control', 'max-age=0, private')
        if (request.headers['if-none-match'] === etag) return reply.code(304).send()
      }
      return success(await selectCountry(db, code), request)
    },
  )
}

async function selectCountries(db: Database, query: CountryQuery) {
  const { page, page_size, region, name, order } = query
  let found = db.selectFrom('country')
  if (region !== undefined) found = found.where('region', '=', region)
  if (name !== undefined)
    found = found.where(sql<boolean>`name like ${containing(name)} escape '!'`)
  const { total } = await found
    .select(({ fn }) => fn.countAll<number>().as('total'))
    .executeTakeFirstOrThrow()
  let rows = found.selectAll()
  for (const [column, direction] of parseOrder(order, 'code')) {
    rows = rows.orderBy(column as 'code', direction)
  }
  const results = await rows
    .limit(page_size)
    .offset((page - 1) * page_size)
    .execute()
  return { page, num_pages: numPages(total, page_size), total, results }
}

function selectState(db: Database, code: string) {
  return db
    .selectFrom('city')
    .select(({ fn }) => [fn.countAll<number>().as('cities'), fn.max('updated_at').as('changed')])
    .where('country', '=', code)
    .executeTakeFirstOrThrow()
}

async function selectCountry(db: Database, code: string) {
  const country = await db
    .selectFrom('country')
    .selectAll()
    .where('code', '=', code)
    .executeTakeFirst()
  if (!country) return notFound('country', code)
  const { cities, population } = await db
    .selectFrom('city')
    .select(({ fn }) => [
      fn.countAll<number>().as('cities'),
      fn.sum<number | null>('population').as('population'),
    ])
    .where('country', '=', code)
    .executeTakeFirstOrThrow()
  return { ...country, totals: { cities, population: population ?? 0 } }
}
