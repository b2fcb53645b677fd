import { sql } from 'kysely'
import t from 'tap'
import { Type } from 'typebox'
import { diff } from '../../../src/database/migration/autodetector.ts'
import { createMigrator } from '../../../src/database/migration/migrator.ts'
import {
  auditFills,
  findUnfilled,
  readFill,
  render,
  withFills,
} from '../../../src/database/migration/writer.ts'
import { defineModel } from '../../../src/database/model/define.ts'
import type { ColumnState } from '../../../src/database/schema/state.ts'
import { type AnyDatabase, folder, migration, onEveryDatabase } from '../fixture.ts'

const CREATE = migration(`m.createTable('city', { columns: {
  id: { type: 'integer' },
  name: { type: 'varchar(40)', nullable: true },
  size: { type: 'integer', nullable: true, default: 5 },
}, primaryKey: ['id'] })`)

const read = (db: AnyDatabase) => db.selectFrom('city').selectAll().orderBy('id').execute()

onEveryDatabase(t, 'rows get what a migration fills in, up and down', async (t, { db }) => {
  const add = (name: string, definition: string, fill: string) =>
    `m.addColumn('city', '${name}', ${definition}, { fill: ${fill} })`
  const directory = folder(t, {
    '0001_city.ts': CREATE,
    '0002_filled.ts': migration(
      add('kind', `{ type: 'varchar(8)', values: ['town', 'city'] }`, `'town'`),
      add('count', `{ type: 'bigint' }`, '7'),
      add('note', `{ type: 'text' }`, `"it's"`),
      add('data', `{ type: 'json' }`, `'{"a":1}'`),
      add('open', `{ type: 'boolean' }`, 'true'),
      add('price', `{ type: 'decimal(8,2)' }`, `'9.50'`),
      add('day', `{ type: 'date' }`, `'2026-01-02'`),
      add('maybe', `{ type: 'integer', nullable: true }`, '3'),
      add('usual', `{ type: 'integer', default: 1 }`, '2'),
      `m.alterColumn('city', 'name', { from: { type: 'varchar(40)', nullable: true }, to: { type: 'varchar(80)' }, fill: 'nobody' })`,
      `m.alterColumn('city', 'size', { from: { type: 'integer', nullable: true, default: 5 }, to: { type: 'integer', default: 6 } })`,
    ),
    '0003_dropped.ts': migration(
      `m.dropColumn('city', 'count', { type: 'bigint' }, { fill: 8 })`,
      `m.alterColumn('city', 'kind', { from: { type: 'varchar(8)', values: ['town', 'city'] }, to: { type: 'varchar(8)', values: ['town', 'city'], nullable: true }, fill: 'city' })`,
    ),
  })
  const migrator = createMigrator({ db, directory })
  await migrator.migrate({ to: '0001' })
  await db
    .insertInto('city')
    .values([
      { id: 1, name: null, size: null },
      { id: 2, name: 'Ys', size: 9 },
    ])
    .execute()
  await migrator.migrate({ to: '0002' })
  const [first, second] = (await read(db)) as Record<string, unknown>[]
  t.match(first, { name: 'nobody', size: 6, kind: 'town', note: "it's", day: '2026-01-02' })
  t.match(second, { name: 'Ys', size: 9, kind: 'town', maybe: 3, usual: 2 })
  t.strictSame([Number(first?.count), String(first?.price), Number(first?.open)], [7, '9.50', 1])
  t.same(typeof first?.data === 'string' ? JSON.parse(first.data) : first?.data, { a: 1 })
  // Nothing of it is a default for rows that come.
  const whole = {
    kind: 'town',
    count: 1,
    note: '',
    data: '{}',
    open: 0,
    price: '1.00',
    day: '2026-01-03',
  }
  await db
    .insertInto('city')
    .values({ id: 3, name: 'Is', ...whole })
    .execute()
  t.match((await read(db))[2], { size: 6, maybe: null, usual: 1 })
  for (const name of ['name', ...Object.keys(whole)])
    await t.rejects(
      db
        .insertInto('city')
        .values({ id: 4, name: 'x', ...whole, [name]: undefined })
        .execute(),
      name,
    )
  await migrator.migrate()
  await db.updateTable('city').set({ kind: null }).where('id', '=', 2).execute()
  await migrator.rollback({ steps: 1 })
  t.strictSame(
    (await read(db)).map(({ kind, count }) => [kind, Number(count)]),
    [
      ['town', 8],
      ['city', 8],
      ['town', 8],
    ],
  )
  await migrator.rollback({ steps: 1 })
  t.strictSame(await read(db), [
    { id: 1, name: 'nobody', size: 6 },
    { id: 2, name: 'Ys', size: 9 },
    { id: 3, name: 'Is', size: 6 },
  ])
})

onEveryDatabase(t, 'a table with rows gets audit columns', async (t, { db, driver }) => {
  const columns = { id: Type.Integer(), name: Type.String({ maxLength: 20 }) }
  const before = defineModel('city', { columns })
  const after = defineModel('city', { columns, audit: true })
  const changes = diff({ city: before.state }, { city: after.state })
  t.strictSame(
    findUnfilled(changes)
      .map(({ place }) => place)
      .sort(),
    ['city.created_at', 'city.updated_at'],
  )
  const directory = folder(t, {
    '0001_city.ts': render(diff({}, { city: before.state })),
    '0002_audit.ts': render(withFills(changes, auditFills([after]))),
  })
  const migrator = createMigrator({ db, directory })
  await migrator.migrate({ to: '0001' })
  await db.insertInto('city').values({ id: 1, name: 'Ys' }).execute()
  const began = Date.now()
  await migrator.migrate()
  const { rows } = await sql<{ at: string }>`select ${
    driver.name === 'mysql'
      ? sql`date_format(created_at, '%Y-%m-%dT%H:%i:%s.%fZ')`
      : sql`created_at`
  } as at from city`.execute(db)
  const at = new Date(rows[0]?.at as string).getTime()
  // The clock of the server is that of this machine; MySQL's is as it was when the statement began.
  t.ok(at >= began - 1000 && at <= Date.now(), `${rows[0]?.at}`)
  if (driver.name === 'sqlite') t.match(rows[0]?.at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  await t.rejects(db.insertInto('city').values({ id: 2, name: 'Is' }).execute())
})

t.test('what somebody says to fill in', (t) => {
  const cases: [ColumnState, string, unknown][] = [
    [{ type: 'integer' }, '7', { fill: 7 }],
    [{ type: 'integer' }, '7.5', 'it is no whole number'],
    [{ type: 'bigint' }, '', 'it is no whole number'],
    [{ type: 'double' }, '7.5', { fill: 7.5 }],
    [{ type: 'double' }, 'many', 'it is no number'],
    [{ type: 'boolean' }, 'false', { fill: false }],
    [{ type: 'boolean' }, 'no', 'it is neither true nor false'],
    [{ type: 'varchar(4)', values: ['a'] }, 'b', 'it is none of a'],
    [{ type: 'varchar(4)' }, 'now', { fill: 'now' }],
    [{ type: 'decimal(4,2)' }, '9.90', { fill: '9.90' }],
    [{ type: 'date' }, '2026-01-02', { fill: '2026-01-02' }],
  ]
  for (const [column, text, expected] of cases) t.strictSame(readFill(text, column), expected)
  t.match(readFill('now', { type: 'datetime' }), { fill: { mysql: String, sqlite: String } })
  t.end()
})
