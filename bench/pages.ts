import { join } from 'node:path'
import Fastify from 'fastify'
import { sql } from 'kysely'
import { Type } from 'typebox'
import database from '../plugins/database.ts'
import { defineList } from '../src/crud/list.ts'
import { createTable } from '../src/database/migration/index.ts'
import { compileOperations } from '../src/database/migration/operations/index.ts'
import { defineModel } from '../src/database/model/define.ts'
import type { Db } from '../src/database/model/types.ts'
import { dialectOf } from '../src/database/portable.ts'
import type { Database } from '../src/database/types.ts'
import { attach } from '../test/servers/attach.ts'
import { execute, mysql } from '../test/servers/mysql.ts'
import { progress } from '../test/servers/ready.ts'
import type { Sandbox } from '../test/servers/sandbox.ts'
import { median } from './statistics.ts'

const SMALL = 1000
const ROUNDS = 300
const WARM = 100

const Place = defineModel('place', {
  columns: {
    id: Type.Integer(),
    name: Type.String({ maxLength: 40 }),
    population: Type.Integer(),
  },
  generated: ['id'],
  indexes: [['population']],
})

const places = defineList(Place.schema, {
  from: (db) => (db as unknown as Db<[typeof Place]>).selectFrom('place').select(Place.columns),
  order: ['population'],
  key: 'id',
  pageSize: 20,
  count: 'optional',
})

/** The pages that are asked for: what a table of a thousand rows has, too. */
const PAGES = {
  'the first page': { order: '-population', count: false },
  'page 50': { order: '-population', count: false, page: 50 },
  'the first page, counted': { order: '-population' },
} as const

/** A page of a table of a thousand rows beside that of a long one. */
export interface PageTime {
  database: string
  page: string
  rows: number
  /** Milliseconds, typically. */
  small: number
  large: number
}

/** Asks for the same pages of two tables, one after the other, on each database. */
export async function measurePages(sandbox: Sandbox, rows: number): Promise<PageTime[]> {
  const { TEST_MYSQL_URL = '' } = await attach([mysql], sandbox)
  const found: PageTime[] = []
  for (const kind of ['SQLite', 'MariaDB'] as const) {
    const opened = []
    for (const size of [SMALL, rows]) {
      const name = `bench_pages_${process.pid}_${size}`
      const url = new URL(TEST_MYSQL_URL)
      url.pathname = `/${name}`
      if (kind === 'MariaDB') await execute(TEST_MYSQL_URL, `CREATE DATABASE ${name}`)
      const app = Fastify()
      await app.register(database, {
        url: kind === 'SQLite' ? `sqlite:${join(sandbox.folder, `${name}.db`)}` : url.href,
        models: [Place],
        queryTimeout: 0,
        slowQuery: 0,
      })
      progress(`pages: ${size} rows in ${kind}`)
      await fill(app.db, size)
      opened.push(app)
    }
    const [small, large] = opened as [(typeof opened)[0], (typeof opened)[0]]
    for (const [page, input] of Object.entries(PAGES)) {
      const isCounted = !('count' in input)
      const times = await askInTurns([small.db, large.db], input, isCounted ? 5 : ROUNDS)
      found.push({ database: kind, page, rows, small: median(times[0]), large: median(times[1]) })
    }
    for (const app of opened) await app.close()
  }
  return found
}

/** A thousand rows, doubled until there are enough. */
async function fill(db: Database, rows: number): Promise<void> {
  const dialect = dialectOf(db)
  const state = { ...Place.state, indexes: [] }
  for (const step of compileOperations([createTable('place', state)], {}, dialect))
    if ('sql' in step) await sql.raw(step.sql).execute(db)
  await sql`insert into place (name, population)
    with recursive n(i) as (select 1 union all select i + 1 from n where i < ${Math.min(rows, 1000)})
    select concat('place ', i), i * 7919 % 1000003 from n`.execute(db)
  for (let filled = 1000; filled < rows; filled *= 2)
    await sql`insert into place (name, population)
      select name, (population * 31 + id) % 1000003 from place limit ${Math.min(filled, rows - filled)}`.execute(
      db,
    )
  await sql`create index place_population_idx on place (population)`.execute(db)
  await sql.raw(dialect === 'mysql' ? 'analyze table place' : 'analyze').execute(db)
}

async function askInTurns(dbs: readonly [Database, Database], input: object, rounds: number) {
  const times: [number[], number[]] = [[], []]
  for (let round = -Math.min(WARM, rounds); round < rounds; round++) {
    for (const side of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      const began = performance.now()
      await places.paginate(dbs[side], input)
      if (round >= 0) times[side].push(performance.now() - began)
    }
  }
  return times
}
