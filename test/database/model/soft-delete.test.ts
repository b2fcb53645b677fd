import { sql } from 'kysely'
import t from 'tap'
import {
  purge,
  restore,
  withDeleted,
  withoutModels,
} from '../../../src/database/model/query/hide.ts'
import { instant } from '../../../src/database/portable.ts'
import { City, type Fixture, onEveryDatabase } from './fixture.ts'

const names = async (db: Fixture['db']) =>
  (await db.selectFrom('city').select('name').orderBy('id').execute()).map(({ name }) => name)

/** Every row there is, and whether it is flagged. */
async function stored(db: Fixture['db']) {
  const { rows } = await sql<{ name: string; flagged: number }>`
    select name, deleted_at is not null as flagged from city order by id`.execute(db)
  return Object.fromEntries(rows.map(({ name, flagged }) => [name, flagged]))
}

const deleteCity = (db: Fixture['db'], name: string) =>
  db.deleteFrom('city').where('name', '=', name).executeTakeFirstOrThrow()

onEveryDatabase(t, 'the columns of a model are those of its schema', async (t, { db }) => {
  const [row = {}] = await db.selectFrom('city').select(City.columns).execute()
  t.strictSame(Object.keys(row), Object.keys(City.schema.properties))
  const [whole = {}] = await db.selectFrom('city').selectAll().execute()
  t.strictSame(new Set(Object.keys(whole)), new Set([...City.columns, 'deleted_at']))
})

onEveryDatabase(t, 'a delete flags rows and counts them', async (t, { db, actor }) => {
  const before = Date.now()
  actor.name = 'ann'
  const gone = db.deleteFrom('city').where('country', '=', 'FR')
  t.equal((await gone.executeTakeFirstOrThrow()).numDeletedRows, 2n)
  t.equal((await gone.executeTakeFirstOrThrow()).numDeletedRows, 0n, 'they are gone')
  t.strictSame(await stored(db), { Paris: 1, Lyon: 1, Berlin: 0 })
  t.strictSame(await names(db), ['Berlin'])
  const flagged = await withDeleted(db)
    .selectFrom('city')
    .select(['deleted_at', 'updated_at', 'updated_by'])
    .where('name', '=', 'Paris')
    .executeTakeFirstOrThrow()
  t.ok(Date.parse(String(flagged.deleted_at)) >= before)
  t.equal(flagged.deleted_at, flagged.updated_at)
  t.equal(flagged.updated_by, 'ann')
})

onEveryDatabase(t, 'every query hides them', async (t, { db }) => {
  await deleteCity(db, 'Paris')
  await deleteCity(db, 'Berlin')
  const aliased = await db.selectFrom('city as c').select('c.name').execute()
  t.strictSame(aliased, [{ name: 'Lyon' }])
  const count = await db
    .selectFrom('city')
    .select(({ fn }) => fn.countAll<number>().as('n'))
    .executeTakeFirst()
  t.strictSame(count, { n: 1 })
  const raw = await db
    .selectFrom('city')
    .select('name')
    .where(sql<boolean>`1 = 1 or id = 1`)
    .execute()
  t.strictSame(raw, [{ name: 'Lyon' }], 'an `or` in SQL does not open it')
  const either = await db
    .selectFrom('city')
    .select('name')
    .where((eb) => eb.or([eb('name', '=', 'Paris'), eb('name', '=', 'Lyon')]))
    .execute()
  t.strictSame(either, [{ name: 'Lyon' }])
  const inSubquery = await db
    .selectFrom('country')
    .select('code')
    .where('code', 'in', (eb) => eb.selectFrom('city').select('country'))
    .execute()
  t.strictSame(inSubquery, [{ code: 'FR' }])
  const existing = await db
    .selectFrom('country')
    .select('code')
    .where(({ exists, selectFrom, ref }) =>
      exists(selectFrom('city').select('id').where('city.country', '=', ref('country.code'))),
    )
    .execute()
  t.strictSame(existing, [{ code: 'FR' }])
  const common = await db
    .with('known', (query) => query.selectFrom('city').select('name'))
    .selectFrom('known')
    .selectAll()
    .execute()
  t.strictSame(common, [{ name: 'Lyon' }])
  const inRaw = await sql<{ n: number }>`
    select count(*) as n from (${db.selectFrom('city').select('id')}) as x`.execute(db)
  t.strictSame(inRaw.rows, [{ n: 1 }])
  const united = await db
    .selectFrom('city')
    .select('name')
    .union(db.selectFrom('city').select('name'))
    .execute()
  t.strictSame(united, [{ name: 'Lyon' }])
  const { numUpdatedRows } = await db
    .updateTable('city')
    .set({ population: 1 })
    .executeTakeFirstOrThrow()
  t.equal(numUpdatedRows, 1n)
})

onEveryDatabase(t, 'joins hide them, and keep the other side', async (t, { db }) => {
  await deleteCity(db, 'Berlin')
  await deleteCity(db, 'Lyon')
  const both = (rows: { country: string | null; city: string | null }[]) =>
    rows.map(({ country, city }) => `${country} ${city}`).sort()
  const columns = ['country.name as country', 'city.name as city'] as const
  const inner = await db
    .selectFrom('country')
    .innerJoin('city', 'city.country', 'country.code')
    .select(columns)
    .execute()
  t.strictSame(both(inner), ['France Paris'])
  const left = await db
    .selectFrom('country')
    .leftJoin('city', 'city.country', 'country.code')
    .select(columns)
    .execute()
  t.strictSame(both(left), ['France Paris', 'Germany null'])
  const right = await db
    .selectFrom('city')
    .rightJoin('country', 'city.country', 'country.code')
    .select(columns)
    .execute()
  t.strictSame(both(right), ['France Paris', 'Germany null'])
  const backwards = await db
    .selectFrom('country')
    .rightJoin('city', 'city.country', 'country.code')
    .select(columns)
    .execute()
  t.strictSame(both(backwards), ['France Paris'])
  const cross = await db.selectFrom('country').crossJoin('city').select(columns).execute()
  t.strictSame(both(cross), ['France Paris', 'Germany Paris'])
  const self = await db
    .selectFrom('city as a')
    .leftJoin('city as b', (join) => join.onRef('b.id', '>', 'a.id'))
    .select(['a.name as country', 'b.name as city'])
    .execute()
  t.strictSame(both(self), ['Paris null'])
})

onEveryDatabase(t, 'they can be shown, restored and purged', async (t, { db }) => {
  await db.deleteFrom('city').execute()
  t.strictSame(await names(db), [])
  t.strictSame(await names(withDeleted(db)), ['Paris', 'Lyon', 'Berlin'])
  const restored = await restore(db, 'city').where('name', '=', 'Lyon').executeTakeFirstOrThrow()
  t.equal(restored.numUpdatedRows, 1n)
  t.strictSame(await names(db), ['Lyon'])
  const shown = withDeleted(db).deleteFrom('city')
  t.equal(
    (await shown.executeTakeFirstOrThrow()).numDeletedRows,
    1n,
    'the others are flagged already',
  )
  await restore(db, 'city').where('name', '=', 'Lyon').execute()
  const none = purge(db, 'city').where('deleted_at', '<', instant(new Date('2001-01-01')))
  t.equal((await none.executeTakeFirstOrThrow()).numDeletedRows, 0n)
  const purged = await purge(db, 'city').executeTakeFirstOrThrow()
  t.equal(purged.numDeletedRows, 2n)
  t.strictSame(await stored(db), { Lyon: 0 })
})

onEveryDatabase(t, 'a transaction does the same, and is undone as one', async (t, { db }) => {
  await t.rejects(
    db.transaction().execute(async (trx) => {
      await deleteCity(trx, 'Paris')
      t.strictSame(await names(trx), ['Lyon', 'Berlin'])
      t.strictSame(await names(withDeleted(trx)), ['Paris', 'Lyon', 'Berlin'])
      await restore(trx, 'city').execute()
      t.strictSame(await names(trx), ['Paris', 'Lyon', 'Berlin'])
      await deleteCity(trx, 'Lyon')
      await purge(trx, 'city').execute()
      throw new Error('undo')
    }),
    /undo/,
  )
  t.strictSame(await stored(db), { Paris: 0, Lyon: 0, Berlin: 0 })
})

onEveryDatabase(
  t,
  'what is streamed, compiled or in a table expression of that name',
  async (t, { db }) => {
    await deleteCity(db, 'Paris')
    const streamed: string[] = []
    for await (const { name } of db.selectFrom('city').select('name').orderBy('id').stream()) {
      streamed.push(name)
    }
    t.strictSame(streamed, ['Lyon', 'Berlin'])
    t.match(db.deleteFrom('city').compile().sql, /^update .city. set .deleted_at. = \?/)
    t.match(withoutModels(db).deleteFrom('city').compile().sql, /^delete from .city.$/)
    const shadowed = await db
      .with('city', (query) => query.selectFrom('country').select(['code', 'name']))
      .selectFrom('city')
      .select('name')
      .orderBy('name')
      .execute()
    t.strictSame(shadowed, [{ name: 'France' }, { name: 'Germany' }])
  },
)

onEveryDatabase(t, 'a delete that cannot be an update is refused', async (t, { db }) => {
  const query = db
    .deleteFrom('city')
    .using(['city', 'country'])
    .whereRef('country.code', '=', 'city.country')
  await t.rejects(query.execute(), {
    message:
      'A delete of several tables cannot flag the rows of city: delete from one table, and find its rows by a subquery',
  })
  t.equal((await deleteCity(db, 'Lyon')).numDeletedRows, 1n, 'the next statement is not disturbed')
  t.strictSame(await stored(db), { Paris: 0, Lyon: 1, Berlin: 0 })
})

onEveryDatabase(t, 'a table without the flag loses its rows', async (t, { db }) => {
  await withoutModels(db).deleteFrom('city').execute()
  const { numDeletedRows } = await db
    .deleteFrom('country')
    .where('code', '=', 'FR')
    .executeTakeFirstOrThrow()
  t.equal(numDeletedRows, 1n)
  t.strictSame(await db.selectFrom('country').select('code').execute(), [{ code: 'DE' }])
})

onEveryDatabase(t, 'an upsert brings a flagged row back', async (t, { db, driver }) => {
  const upsert = (db: Fixture['db'], population: number) => {
    const insert = db.insertInto('city').values({ name: 'Lyon', country: 'FR', population })
    return driver.name === 'mysql'
      ? insert.onDuplicateKeyUpdate({ population })
      : insert.onConflict((key) => key.columns(['name', 'country']).doUpdateSet({ population }))
  }
  const left = (db: Fixture['db']) => {
    const insert = db.insertInto('city').values({ name: 'Lyon', country: 'FR' })
    return driver.name === 'mysql'
      ? insert.onDuplicateKeyUpdate(({ ref }) => ({ name: ref('name') }))
      : insert.onConflict((key) => key.columns(['name', 'country']).doNothing())
  }
  const lyon = () =>
    db.selectFrom('city').select(['id', 'population']).where('name', '=', 'Lyon').execute()
  const [before] = await lyon()
  await deleteCity(db, 'Lyon')
  await left(db).execute()
  t.strictSame(await lyon(), [], 'one that leaves the row as it is does not')
  await upsert(withDeleted(db) as Fixture['db'], 1).execute()
  t.strictSame(await lyon(), [], 'nor one that sees flagged rows')
  await upsert(db, 7).execute()
  t.strictSame(await lyon(), [{ id: before?.id, population: 7 }])
  t.strictSame(await stored(db), { Paris: 0, Lyon: 0, Berlin: 0 })
  await upsert(db, 8).execute()
  t.match(await lyon(), [{ population: 8 }])
})
