import type { FastifyInstance, FastifyRequest } from 'fastify'
import { sql } from 'kysely'
import Type from 'typebox'
import { containing, type Database, databaseOf, numPages, parseOrder } from './database.ts'
import { ClientError, enveloped, notFound, success } from './envelope.ts'
import { nearestCities } from './nearest.ts'
import {
  ById,
  City,
  CityInput,
  CityPatch,
  CityQuery,
  Near,
  NearCity,
  Nothing,
  pageOf,
} from './schemas.ts'

/** The routes of cities, over Kysely. */
export async function cities(app: FastifyInstance): Promise<void> {
  const db = databaseOf(app)
  const city = { 200: enveloped(City) }
  const onRequest = async (request: FastifyRequest) => void (await request.jwtVerify())

  app.get<{ Querystring: CityQuery }>(
    '/',
    { schema: { querystring: CityQuery, response: { 200: enveloped(pageOf(City)) } } },
    async (request) => success(await selectCities(db, request.query), request),
  )
  app.get<{ Querystring: Near }>(
    '/nearest',
    { schema: { querystring: Near, response: { 200: enveloped(Type.Array(NearCity)) } } },
    async (request) => success(await nearestCities(db, request.query), request),
  )
  app.get<{ Params: ById }>(
    '/:id',
    { schema: { params: ById, querystring: Nothing, response: city } },
    async (request) => success(await selectCity(db, request.params.id), request),
  )
  app.post<{ Body: CityInput }>(
    '/',
    {
      onRequest,
      schema: { body: CityInput, querystring: Nothing, response: { 201: enveloped(City) } },
    },
    async (request, reply) => {
      const created = await insertCity(db, request.body)
      reply.code(201)
      return success(created, request)
    },
  )
  app.put<{ Params: ById; Body: CityInput }>(
    '/:id',
    { onRequest, schema: { params: ById, querystring: Nothing, body: CityInput, response: city } },
    async (request) => success(await updateCity(db, request.params.id, request.body), request),
  )
  app.patch<{ Params: ById; Body: CityPatch }>(
    '/:id',
    { onRequest, schema: { params: ById, querystring: Nothing, body: CityPatch, response: city } },
    async (request) => success(await updateCity(db, request.params.id, request.body), request),
  )
  app.delete<{ Params: ById }>(
    '/:id',
    {
      onRequest,
      schema: { params: ById, querystring: Nothing, response: { 200: enveloped(Type.Null()) } },
    },
    async (request, reply) => {
      if ((request.user as { role?: string }).role !== 'admin') return reply.code(403).send()
      const { id } = request.params
      const deleted = await db.deleteFrom('city').where('id', '=', id).executeTakeFirst()
      if (deleted.numDeletedRows === 0n) notFound('city', id)
      return success(null, request)
    },
  )
}

async function selectCities(db: Database, query: CityQuery) {
  const { page, page_size, country, name, min_population, max_population, order } = query
  let found = db.selectFrom('city')
  if (country !== undefined) found = found.where('country', '=', country)
  if (name !== undefined)
    found = found.where(sql<boolean>`name like ${containing(name)} escape '!'`)
  if (min_population !== undefined) found = found.where('population', '>=', min_population)
  if (max_population !== undefined) found = found.where('population', '<=', max_population)
  const { total } = await found
    .select(({ fn }) => fn.countAll<number>().as('total'))
    .executeTakeFirstOrThrow()
  let rows = found.selectAll()
  for (const [column, direction] of parseOrder(order, 'id')) {
    rows = rows.orderBy(column as 'id', direction)
  }
  const results = await rows
    .limit(page_size)
    .offset((page - 1) * page_size)
    .execute()
  return { page, num_pages: numPages(total, page_size), total, results }
}

async function selectCity(db: Database, id: number) {
  const found = await db.selectFrom('city').selectAll().where('id', '=', id).executeTakeFirst()
  return found ?? notFound('city', id)
}

async function insertCity(db: Database, city: CityInput) {
  await assertCountry(db, city.country)
  const now = new Date()
  const { insertId } = await db
    .insertInto('city')
    .values({ ...city, created_at: now, updated_at: now })
    .executeTakeFirstOrThrow()
  return selectCity(db, Number(insertId))
}

async function updateCity(db: Database, id: number, city: CityPatch) {
  if (city.country !== undefined) await assertCountry(db, city.country)
  await db
    .updateTable('city')
    .set({ ...city, updated_at: new Date() })
    .where('id', '=', id)
    .execute()
  return selectCity(db, id)
}

async function assertCountry(db: Database, code: string): Promise<void> {
  const found = await db
    .selectFrom('country')
    .select('code')
    .where('code', '=', code)
    .executeTakeFirst()
  if (!found) throw new ClientError(400, 'INVALID_REQUEST', `There is no country ${code}`)
}
