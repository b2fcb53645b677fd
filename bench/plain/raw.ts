import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import type { FastifyInstance } from 'fastify'
import type { Config } from './config.ts'
import { containing, numPages, parseOrder } from './database.ts'
import { enveloped, notFound, success } from './envelope.ts'
import { ById, City, CityQuery, Nothing, pageOf } from './schemas.ts'

/** The two routes that read cities, over prepared statements: what is left when Kysely is taken away. */
export async function rawCities(app: FastifyInstance): Promise<void> {
  const database = open(app.getEnvs<Config>().DATABASE_URL)
  app.addHook('onClose', async () => database.close())

  const statements = new Map<string, StatementSync>()
  const prepared = (sql: string): StatementSync => {
    const known = statements.get(sql) ?? database.prepare(sql)
    statements.set(sql, known)
    return known
  }

  app.get<{ Querystring: CityQuery }>(
    '/',
    { schema: { querystring: CityQuery, response: { 200: enveloped(pageOf(City)) } } },
    async (request) => success(selectCities(prepared, request.query), request),
  )
  const one = database.prepare('select * from city where id = ?')
  app.get<{ Params: ById }>(
    '/:id',
    { schema: { params: ById, querystring: Nothing, response: { 200: enveloped(City) } } },
    async (request) => {
      const { id } = request.params
      return success(one.get(id) ?? notFound('city', id), request)
    },
  )
}

function open(url: string): DatabaseSync {
  const database = new DatabaseSync(url.replace('sqlite:', ''))
  database.exec(
    'pragma journal_mode = wal; pragma synchronous = normal; pragma foreign_keys = on; pragma busy_timeout = 25',
  )
  return database
}

type Prepare = (sql: string) => StatementSync

function selectCities(prepared: Prepare, query: CityQuery) {
  const { page, page_size, order } = query
  const conditions: string[] = []
  const values: SQLInputValue[] = []
  const filter = (condition: string, value: SQLInputValue | undefined) => {
    if (value === undefined) return
    conditions.push(condition)
    values.push(value)
  }
  filter('country = ?', query.country)
  filter("name like ? escape '!'", query.name && containing(query.name))
  filter('population >= ?', query.min_population)
  filter('population <= ?', query.max_population)
  const where = conditions.length > 0 ? `where ${conditions.join(' and ')}` : ''
  const by = parseOrder(order, 'id').map((one) => one.join(' '))

  const count = prepared(`select count(*) as total from city ${where}`)
  const { total } = count.get(...values) as { total: number }
  const rows = prepared(`select * from city ${where} order by ${by.join(', ')} limit ? offset ?`)
  const results = rows.all(...values, page_size, (page - 1) * page_size)
  return { page, num_pages: numPages(total, page_size), total, results }
}
