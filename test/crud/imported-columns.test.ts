import Fastify, { type FastifyInstance } from 'fastify'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import database from '../../plugins/database.ts'
import envelope from '../../plugins/envelope.ts'
import resources from '../../plugins/resources.ts'
import { modelResources } from '../../src/crud/model-resources.ts'
import { readSchema } from '../../src/database/inspect/differences.ts'
import { modelSource } from '../../src/database/inspect/model-writer.ts'
import { defineModel } from '../../src/database/model/define.ts'
import { column, timestamp } from '../../src/database/model/schemas.ts'
import type { Model } from '../../src/database/model/types.ts'
import type { TableState } from '../../src/database/schema/state.ts'
import { defineModule } from '../../src/resource/module.ts'
import { open } from '../database/fixture.ts'
import { createTables } from '../database/model/fixture.ts'
import { type DatabaseDriver, databaseDrivers } from '../helpers/drivers.ts'

const OPERATORS = { equal: 'equals', from: 'from', to: 'to', part: 'contains' } as const

/** The model that `inspectdb` writes of a table of MySQL with all the columns that are tried. */
async function inspect(t: Test): Promise<Model> {
  const mysql = databaseDrivers.find(({ name }) => name === 'mysql') as DatabaseDriver
  const db = await open(t, await mysql.url(t))
  const declared = columns.map(({ type }, i) => `c${i} ${type} null`)
  await sql.raw(`create table thing (id int primary key, ${declared.join(', ')})`).execute(db)
  const { schema } = await readSchema(db)
  return modelSource('thing', schema.thing as TableState, 'mysql').model as Model
}

/** An app that serves a model at `/things`, with all filters on its columns: `equal_c0`. */
async function serve(t: Test, driver: DatabaseDriver, model: Model) {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(envelope)
  app.register(database, { url: await driver.url(t), models: [model] })
  const names = Object.keys(model.schema.properties)
  const filters = names.flatMap((column) =>
    Object.entries(OPERATORS).map(([name, operator]) => [
      `${name}_${column}`,
      { operator, column },
    ]),
  )
  const list = { filters: Object.fromEntries(filters), search: names.slice(1), order: ['id'] }
  const things = modelResources(model, { list: list as never })
  const modules = { things: defineModule({ prefix: '/things', resources: things as never }) }
  app.register(resources, { modules, strict: true })
  await app.ready()
  await createTables(app.db, driver, [model])
  return { app, send: sender(app) }
}

const sender =
  (app: FastifyInstance) =>
  async (method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', url: string, payload?: object) => {
    const response = await app.inject({ method, url, ...(payload && { payload }) })
    const { data, errors } = response.json()
    return { status: response.statusCode, data, errors }
  }

const long = (characters: number) => 'x'.repeat(characters)

interface Column {
  /** As MySQL declares it. */
  type: string
  /** Read as they were written, and found. */
  good?: readonly unknown[]
  /** No column of the kind takes them. */
  bad?: readonly unknown[]
  /** MySQL does not take them; SQLite does not check. */
  refused?: readonly unknown[]
}

const columns: readonly Column[] = [
  { type: 'text', good: ['é', long(60_000)], bad: [long(65_536)], refused: ['é'.repeat(40_000)] },
  { type: 'tinytext', good: ['é'], bad: [long(256)], refused: ['é'.repeat(200)] },
  { type: 'varchar(20) character set utf8mb3', good: ['é你'], bad: ['😀', long(21)] },
  { type: 'varchar(20) character set latin1', good: ['é€'], bad: ['你', '😀'] },
  { type: 'varchar(20) character set ascii', good: ['e'], bad: ['é', '你'] },
  { type: 'varchar(20) character set gbk', good: ['你'], refused: ['😀'] },
  { type: 'varchar(20) collate utf8mb4_bin', good: ['é', '😀'], bad: [long(21)] },
  { type: 'char(3)', good: ['abc'], bad: ['abcd'] },
  {
    type: 'time',
    good: ['10:00:00', '100:00:00', '-08:00:00'],
    bad: ['25', 'x', '10:00', '839:00:00', '10:61:00'],
  },
  { type: 'uuid', good: ['123e4567-e89b-12d3-a456-426614174000'], bad: ['x', '', 'é'] },
  { type: 'inet6', good: ['::1', 'fe80::1'], bad: ['x', '1.2.3', 'é'] },
  { type: 'inet4', good: ['1.2.3.4'], bad: ['x', '1.2.3', '::1'] },
  { type: "set('a','b')", good: ['', 'a', 'b', 'a,b'], bad: ['c', 'a,c', 'é', 'a,'] },
  { type: "enum('a','b')", good: ['a'], bad: ['c', '', 'é'] },
  { type: 'year', good: [2026, 1901], bad: [2156, -1, 70_000], refused: [1800] },
  { type: 'bit(4)', refused: [16, -1, 'xyz', { a: 1 }] },
  { type: 'binary(4)', refused: [long(5), { a: long(10) }] },
  { type: 'varbinary(4)', refused: [long(5)] },
  { type: 'blob', refused: [long(70_000)] },
  { type: 'float', good: [1.5], bad: [1e300, -1e39] },
  { type: 'float unsigned', good: [1.5], bad: [-1] },
  { type: 'double unsigned', good: [1.5], bad: [-1] },
  { type: 'int unsigned', good: [4_294_967_295], bad: [-1, 4_294_967_296] },
  { type: 'bigint unsigned', good: [1], bad: [-1], refused: [1e300] },
  { type: 'bigint', good: [1], refused: [1e300] },
  { type: 'mediumint', good: [8_388_607], bad: [8_388_608] },
  { type: 'decimal(5,2)', good: ['-1.50'], bad: ['1000.00', '1e3'] },
  { type: 'decimal(5,2) unsigned', good: ['1.50'], bad: ['-1.00', '1000.00', 'x'] },
  {
    type: 'timestamp null',
    good: ['2026-11-22T10:00:00.000Z'],
    bad: ['x'],
    refused: ['1969-01-01T00:00:00Z', '2200-01-01T00:00:00Z'],
  },
  { type: 'datetime', good: ['2026-11-22T10:00:00.000Z'], bad: ['x', '2026-13-22T10:00:00Z'] },
  { type: 'datetime(6)', good: ['2026-11-22T10:00:00.123Z'], bad: ['x'] },
  { type: 'date', good: ['2026-11-22'], bad: ['2026-02-30', 'x'] },
]

const HOSTILE = [
  'é',
  '你',
  '😀',
  "'",
  '\\',
  '%',
  ' ',
  'x',
  '',
  '0',
  '-1',
  '1e400',
  '\u0000',
  long(100),
]

for (const driver of databaseDrivers) {
  t.test(`what clients say of imported columns (${driver.name})`, async (t) => {
    const { send } = await serve(t, driver, await inspect(t))
    let id = 0
    for (const [i, { type, good = [], bad = [], refused = [] }] of columns.entries()) {
      const column = `c${i}`
      const find = (name: string, text: string) =>
        send('GET', `/things?${name}_${column}=${encodeURIComponent(text)}`)
      for (const value of good) {
        const row = { id: ++id, [column]: value }
        t.match(await send('POST', '/things', row), { status: 201, data: row }, type)
        const changed = await send('PATCH', `/things/${id}`, { [column]: value })
        t.match(changed, { status: 200, data: row }, type)
        if (String(value).length > 100) continue
        for (const name of ['equal', 'from', 'to']) {
          const { status, data } = await find(name, String(value))
          t.equal(status, 200, type)
          const ids = data.results.map((one: { id: number }) => one.id)
          t.ok(ids.includes(id), `${type}: ${name} ${value}`)
        }
      }
      const path = `/${column}`
      for (const value of [...bad, ...(driver.name === 'mysql' ? refused : [])]) {
        const answer = { status: 400, errors: [{ path }] }
        const what = `${type}: ${JSON.stringify(value).slice(0, 40)}`
        t.match(await send('POST', '/things', { id: 999, [column]: value }), answer, what)
        t.match(await send('PATCH', '/things/1', { [column]: value }), answer, what)
      }
      if (driver.name === 'mysql' && refused.length > 0) {
        const rows = [{ id: 997 }, { id: 998, [column]: refused[0] }]
        const answer = { status: 400, errors: [{ path: `/1${path}` }] }
        t.match(await send('POST', '/things/bulk', rows), answer, `${type}: in bulk`)
      }
      for (const text of HOSTILE) {
        for (const name of Object.keys(OPERATORS)) {
          const { status } = await find(name, text)
          t.ok(status === 200 || status === 400, `${type}: ${name} ${text}: ${status}`)
        }
      }
    }
    for (const text of HOSTILE) {
      const { status } = await send('GET', `/things?search=${encodeURIComponent(text)}`)
      t.ok(status === 200 || status === 400, `search ${text}: ${status}`)
    }
  })
}

const AsciiKey = defineModel('code', {
  columns: {
    id: column(Type.String({ maxLength: 20 }), {
      type: {
        mysql: 'varchar(20) character set ascii collate ascii_bin',
        sqlite: 'varchar(20)',
      },
    }),
    token: Type.Optional(Type.String({ format: 'uuid' })),
    name: Type.Optional(Type.String({ maxLength: 20 })),
  },
})

for (const driver of databaseDrivers) {
  t.test(`a text that a column cannot have finds no row (${driver.name})`, async (t) => {
    const { send } = await serve(t, driver, AsciiKey)
    await send('POST', '/things', { id: 'e', name: 'Évian' })
    for (const text of ['é', '你', '😀']) {
      const one = `/things/${encodeURIComponent(text)}`
      t.match(await send('GET', one), { status: 404 })
      t.match(await send('PATCH', one, { name: 'x' }), { status: 404 })
      t.match(await send('PUT', one, { name: 'x' }), { status: 404 })
      t.match(await send('DELETE', one), { status: 404 })
      for (const name of ['equal_id', 'from_id', 'to_id', 'part_id', 'part_token']) {
        const found = await send('GET', `/things?${name}=${encodeURIComponent(text)}`)
        t.match(found, { status: 200, data: { total: 0 } }, `${name} ${text}`)
      }
    }
    const found = await send('GET', `/things?search=${encodeURIComponent('É')}`)
    t.match(found, { status: 200, data: { total: 1, results: [{ id: 'e' }] } })
  })

  t.test(`points in time are found however they are stored (${driver.name})`, async (t) => {
    const model = defineModel('visit', {
      columns: {
        id: Type.Integer(),
        at: column(Type.String({ format: 'date-time' }), {
          type: { mysql: 'datetime(6)', sqlite: 'timestamp' },
        }),
        said: column(Type.String({ format: 'date-time' }), { type: 'varchar(40)' }),
        seen: timestamp(),
      },
    })
    const { app, send } = await serve(t, driver, model)
    const said = '2026-11-22T12:00:00+02:00'
    const utc = '2026-11-22T10:00:00.000Z'
    t.match(await send('POST', '/things', { id: 99, at: said, said, seen: said }), {
      status: 201,
      data: { at: utc, said: utc, seen: utc },
    })
    for (const column of ['at', 'said', 'seen']) {
      const found = await send('GET', `/things?equal_${column}=${encodeURIComponent(said)}`)
      t.match(found, { data: { results: [{ id: 99 }] } }, column)
    }

    const ofOthers = [
      ...['2026-11-21 23:59:59', '2026-11-22 00:00:00', '2026-11-22 09:59:59.999'],
      ...['2026-11-22 10:00:00', '2026-11-22 10:00:00.500', '2026-11-22 10:00:00.500000'],
      ...['2026-11-22 10:00:01', '2026-11-22 23:59:59.999', '2026-11-23 00:00:00'],
    ]
    const times = ofOthers.map((text) => new Date(`${text.replace(' ', 'T')}Z`).toISOString())
    const rows = [...ofOthers, ...times].map((at, index) => {
      return [index + 1, driver.name === 'mysql' ? at.replace('T', ' ').replace('Z', '') : at]
    })
    await sql.raw('delete from visit').execute(app.db)
    for (const [id, at] of rows) {
      await sql`insert into visit (id, at, said, seen) values (${id}, ${at}, ${said}, ${at})`.execute(
        app.db,
      )
    }
    const holds = {
      equal: (a: number, b: number) => a === b,
      from: (a: number, b: number) => a >= b,
      to: (a: number, b: number) => a <= b,
    }
    for (const time of new Set(times)) {
      for (const [name, compare] of Object.entries(holds)) {
        const wanted = [...times, ...times].flatMap((one, index) =>
          compare(Date.parse(one), Date.parse(time)) ? [index + 1] : [],
        )
        for (const column of ['at', 'seen']) {
          const { data } = await send('GET', `/things?${name}_${column}=${time}`)
          const found = data.results.map(({ id }: { id: number }) => id)
          t.strictSame(found, wanted, `${name}_${column} ${time}`)
        }
      }
    }
  })
}
