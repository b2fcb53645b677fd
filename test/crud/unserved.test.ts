import Fastify from 'fastify'
import { CompiledQuery, type Kysely, sql } from 'kysely'
import t from 'tap'
import { Type } from 'typebox'
import resources from '../../plugins/resources.ts'
import { defineList, listOf } from '../../src/crud/list.ts'
import { modelResources } from '../../src/crud/model-resources.ts'
import { compilePage } from '../../src/crud/page.ts'
import { unservedLists } from '../../src/crud/unserved.ts'
import { defineModel } from '../../src/database/model/define.ts'
import { defineModule } from '../../src/resource/module.ts'
import { ResourceRegistry } from '../../src/resource/registry.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { openModels } from '../database/model/fixture.ts'
import { databaseDrivers } from '../helpers/drivers.ts'

const Place = defineModel('place', {
  columns: {
    id: Type.Integer(),
    name: Type.String({ maxLength: 20 }),
    size: Type.Integer(),
    height: Type.Integer(),
  },
  generated: ['id'],
  indexes: [['size'], ['name', 'height']],
})
const Gone = defineModel('gone', { columns: { id: Type.Integer() } })

const places = modelResources(Place, {
  only: ['list'],
  list: {
    order: ['id', 'size', 'name', 'height'],
    filters: {
      name: 'contains',
      name_is: { operator: 'equals', column: 'name' },
      min_size: { operator: 'from', column: 'size' },
      height: 'equals',
    },
  },
})

const sizes = defineList(Type.Object({ size: Type.Integer(), places: Type.Integer() }), {
  from: (db) =>
    (db as unknown as Kysely<{ place: { size: number } }>)
      .selectFrom('place')
      .select(['size', sql<number>`count(*)`.as('places')])
      .groupBy('size'),
  order: ['places'],
  key: 'size',
})
const grouped = defineResource({
  summary: 'By size',
  path: '/sizes',
  request: sizes.request,
  response: sizes.response,
  perform: (input, { db }) => sizes.paginate(db, input),
})

const byCursor = modelResources(Place, {
  only: ['list'],
  list: { pages: 'cursor', order: ['id', 'size'], pageSize: 2 },
})

const registry = new ResourceRegistry({
  places: defineModule({ prefix: '/places', resources: { ...places, grouped } }),
  gone: defineModule({ prefix: '/gone', resources: modelResources(Gone, { only: ['list'] }) }),
})

for (const driver of databaseDrivers) {
  t.test(`what no index serves is told with the plan (${driver.name})`, async (t) => {
    const db = await openModels(t, driver, { url: await driver.url(t), models: [Place] })
    const fill = (from: number, to: number) =>
      sql`insert into place (id, name, size, height)
        with recursive n(i) as (select ${from} union all select i + 1 from n where i < ${to})
        select i, concat('place ', i), i % 1000, i % 100 from n`.execute(db)
    await fill(1, 999)
    t.strictSame(await unservedLists(db, registry), [], 'few rows are sorted in no time')
    for (let from = 1000; from < 12_000; from += 900) await fill(from, from + 899)
    if (driver.name === 'mysql') await sql`analyze table place`.execute(db)
    const told = await unservedLists(db, registry)
    t.strictSame(
      told.map((text) => text.split(';')[0]),
      [
        'places.list: no index serves the order by name',
        'places.list: no index serves the order by height',
        'places.list: no index serves the filter height',
      ],
    )
    t.match(told[1], driver.name === 'mysql' ? /place: ALL.*Using filesort/ : /USE TEMP B-TREE/)
    t.match(told[2], driver.name === 'mysql' ? /place: (?:ALL|index)/ : /SCAN place/)
    const list = listOf(byCursor.list.request)
    const app = Fastify()
    t.teardown(() => app.close())
    app.decorate('db', db as never)
    app.register(resources, {
      modules: { deep: defineModule({ prefix: '/deep', resources: byCursor }) },
    })
    await app.ready()
    for (const order of ['size', '-size', '-id']) {
      const { next_cursor: cursor } = await app.run(() => byCursor.list({ order }))
      const { selecting } = compilePage(list?.from(db) as never, list?.rules as never, {
        order,
        cursor: cursor as string,
      })
      const explain = driver.name === 'mysql' ? 'explain' : 'explain query plan'
      const { rows } = await db.executeQuery<{ detail: string; type: string; Extra: string }>(
        CompiledQuery.raw(`${explain} ${selecting.sql}`, [...selecting.parameters]),
      )
      if (driver.name === 'mysql') {
        t.equal(rows[0]?.type, 'range', `${order} begins in the index`)
        t.notMatch(rows[0]?.Extra, /filesort/)
      } else {
        t.match(rows[0]?.detail, /^SEARCH place USING /, `${order} begins in the index`)
        t.equal(rows.length, 1, 'and nothing is sorted')
      }
    }
  })
}
