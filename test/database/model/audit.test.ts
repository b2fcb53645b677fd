import { type Kysely, sql } from 'kysely'
import t from 'tap'
import { Type } from 'typebox'
import { insertMissing } from '../../../src/database/insert.ts'
import { defineModel } from '../../../src/database/model/define.ts'
import { withoutModels } from '../../../src/database/model/query/hide.ts'
import { databaseDrivers } from '../../helpers/drivers.ts'
import { type Fixture, onEveryDatabase, openModels } from './fixture.ts'

const OLD = new Date('2001-02-03T04:05:06.789Z')

/** Makes every row old, and nobody's. */
async function age(db: Fixture['db']): Promise<void> {
  const old = { created_at: OLD, updated_at: OLD, created_by: null, updated_by: null }
  await withoutModels(db).updateTable('city').set(old).execute()
}

/** Who made and changed each city, and which of both times are new. */
async function told(db: Fixture['db']) {
  const rows = await db.selectFrom('city').selectAll().orderBy('id').execute()
  return rows.map(({ name, created_by, updated_by, created_at, updated_at }) => ({
    name,
    by: [created_by, updated_by],
    new: [created_at, updated_at].map((time) => time !== OLD.toISOString()),
  }))
}

onEveryDatabase(t, 'an insert has who and when', async (t, { db, actor }) => {
  const before = Date.now()
  actor.name = 'ann'
  await db.insertInto('city').values({ name: 'Bonn', country: 'DE' }).execute()
  await db
    .insertInto('city')
    .values([
      { name: 'Köln', country: 'DE' },
      { name: 'Nice', country: 'FR', created_by: 'import', created_at: OLD },
      { name: 'Brest', country: 'FR', created_by: null },
    ])
    .execute()
  const rows = await db.selectFrom('city').selectAll().where('id', '>', 3).orderBy('id').execute()
  t.strictSame(
    rows.map((row) => [row.name, row.created_by, row.updated_by]),
    [
      ['Bonn', 'ann', 'ann'],
      ['Köln', 'ann', 'ann'],
      ['Nice', 'import', 'ann'],
      ['Brest', null, 'ann'],
    ],
  )
  t.equal(rows[2]?.created_at, OLD.toISOString())
  for (const { updated_at } of rows) t.ok(Date.parse(updated_at) >= before, updated_at)
  t.equal(rows[0]?.created_at, rows[0]?.updated_at, 'one time for the statement')
})

onEveryDatabase(t, 'nobody is null, a long name is cut', async (t, { db, actor }) => {
  t.strictSame((await told(db))[0]?.by, [null, null])
  actor.name = 'é'.repeat(100)
  await db.updateTable('city').set({ population: 1 }).where('id', '=', 1).execute()
  t.strictSame((await told(db))[0]?.by, [null, 'é'.repeat(64)])
})

onEveryDatabase(t, 'an update has who and when', async (t, { db, actor }) => {
  await age(db)
  actor.name = 'bob'
  await db.updateTable('city').set({ population: 5 }).where('name', '=', 'Lyon').execute()
  await db.updateTable('city as c').set('population', 6).where('c.name', '=', 'Berlin').execute()
  t.strictSame(await told(db), [
    { name: 'Paris', by: [null, null], new: [false, false] },
    { name: 'Lyon', by: [null, 'bob'], new: [false, true] },
    { name: 'Berlin', by: [null, 'bob'], new: [false, true] },
  ])
  await db.updateTable('city').set({ updated_by: 'x', updated_at: OLD }).execute()
  t.strictSame((await told(db))[1], { name: 'Lyon', by: [null, 'x'], new: [false, false] })
})

onEveryDatabase(t, 'so have those of a transaction', async (t, { db, actor }) => {
  await age(db)
  actor.name = 'eve'
  await db.transaction().execute(async (trx) => {
    await trx.updateTable('city').set({ population: 5 }).where('id', '=', 1).execute()
    await trx.insertInto('city').values({ name: 'Bonn', country: 'DE' }).execute()
  })
  const all = await told(db)
  t.strictSame(all[0], { name: 'Paris', by: [null, 'eve'], new: [false, true] })
  t.strictSame(all[3], { name: 'Bonn', by: ['eve', 'eve'], new: [true, true] })
})

onEveryDatabase(t, 'rows that a query selects are filled in', async (t, { db, actor }) => {
  actor.name = 'ann'
  await db
    .insertInto('city')
    .columns(['name', 'country'])
    .expression((eb) =>
      eb.selectFrom('city').select([sql<string>`concat('New ', name)`.as('name'), 'country']),
    )
    .execute()
  const all = await told(db)
  t.strictSame(
    all
      .slice(3)
      .map(({ name, by }) => [name, ...by])
      .sort(),
    [
      ['New Berlin', 'ann', 'ann'],
      ['New Lyon', 'ann', 'ann'],
      ['New Paris', 'ann', 'ann'],
    ],
  )
  const union = db
    .insertInto('city')
    .columns(['name', 'country'])
    .expression((eb) =>
      eb
        .selectFrom('country')
        .select(['name', 'code as country'])
        .union(eb.selectFrom('city').select(['name', 'country'])),
    )
  await t.rejects(union.execute(), {
    message:
      'The insert into city takes its rows from a query that created_at, created_by, updated_at, updated_by cannot be ' +
      'added to: name its columns, and select from one query without union, or say these columns, too',
  })
  t.equal((await told(db)).length, 6)
})

onEveryDatabase(
  t,
  'a row that is there is updated by an upsert',
  async (t, { db, driver, actor }) => {
    await age(db)
    actor.name = 'bob'
    const insert = db.insertInto('city').values([
      { name: 'Paris', country: 'FR', population: 1 },
      { name: 'Bonn', country: 'DE' },
    ])
    const upsert = (population: number) =>
      driver.name === 'mysql'
        ? insert.onDuplicateKeyUpdate({ population })
        : insert.onConflict((key) => key.columns(['name', 'country']).doUpdateSet({ population }))
    await upsert(7).execute()
    const all = await told(db)
    t.strictSame(all[0], { name: 'Paris', by: [null, 'bob'], new: [false, true] })
    t.strictSame(all[3], { name: 'Bonn', by: ['bob', 'bob'], new: [true, true] })
  },
)

onEveryDatabase(
  t,
  'a row that an insert leaves as it is keeps its time',
  async (t, { db, driver, actor }) => {
    await age(db)
    actor.name = 'bob'
    const insert = db.insertInto('city').values({ name: 'Paris', country: 'FR' })
    const query =
      driver.name === 'mysql'
        ? insert.onDuplicateKeyUpdate(({ ref }) => ({ name: ref('name') }))
        : insert.onConflict((key) => key.columns(['name', 'country']).doNothing())
    await query.execute()
    t.strictSame((await told(db))[0], { name: 'Paris', by: [null, null], new: [false, false] })
  },
)

onEveryDatabase(
  t,
  'insertMissing fills in new rows, and counts flagged ones as there',
  async (t, f) => {
    const { db, actor } = f
    actor.name = 'ann'
    await db.deleteFrom('city').where('id', '=', 2).execute()
    await age(db)
    const rows = Array.from({ length: 6000 }, (_, i) => ({
      id: i + 1,
      name: `City ${i + 1}`,
      country: 'FR',
    }))
    t.equal(await insertMissing(db, 'city', rows, 'id'), 5997)
    const all = await told(db)
    t.equal(all.length, 5999, 'Lyon stays flagged')
    t.strictSame(all[0], { name: 'Paris', by: [null, null], new: [false, false] })
    t.strictSame(all[2], { name: 'City 4', by: ['ann', 'ann'], new: [true, true] })
    t.strictSame(all.at(-1), { name: 'City 6000', by: ['ann', 'ann'], new: [true, true] })
  },
)

t.test('an update of joined tables says whose columns it sets (mysql)', async (t) => {
  const driver = databaseDrivers.find(({ name }) => name === 'mysql')
  if (!driver) throw new Error('there is no MySQL')
  const audited = (table: string) =>
    defineModel(table, {
      columns: { id: Type.Integer(), n: Type.Integer() },
      generated: ['id'],
      audit: true,
    })
  const models = [audited('a'), audited('b')]
  const db = await openModels(t, driver, { url: await driver.url(t), models, actor: () => 'ann' })
  await sql`insert into a (n, created_at, updated_at) values (1, now(), now())`.execute(db)
  await sql`insert into b (n, created_at, updated_at) values (1, now(), now())`.execute(db)
  type Row = { id: number; n: number }
  await (db as unknown as Kysely<{ a: Row; b: Row }>)
    .updateTable(['a', 'b'])
    .set('a.n', 2)
    .whereRef('a.id', '=', 'b.id')
    .execute()
  const { rows } = await sql`select a.updated_by as a, b.updated_by as b from a, b`.execute(db)
  t.strictSame(rows, [{ a: 'ann', b: null }])
})

t.test('only the columns that are named are added', async (t) => {
  const driver = databaseDrivers[0]
  if (!driver) throw new Error('there is no database')
  const Note = defineModel('note', {
    columns: { id: Type.Integer() },
    generated: ['id'],
    audit: ['created_at'],
  })
  const db = await openModels(t, driver, { url: await driver.url(t), models: [Note] })
  t.strictSame(Object.keys(Note.state.columns), ['id', 'created_at'])
  const any = db as unknown as Fixture['db']
  await any
    .insertInto('note' as 'city')
    .defaultValues()
    .execute()
  const [row] = await any
    .selectFrom('note' as 'city')
    .selectAll()
    .execute()
  t.strictSame(Object.keys(row ?? {}), ['id', 'created_at'])
})
