import t from 'tap'
import { differences, readSchema } from '../../../src/database/inspect/differences.ts'
import { diff } from '../../../src/database/migration/autodetector.ts'
import { readMigrations } from '../../../src/database/migration/loader.ts'
import { createMigrator } from '../../../src/database/migration/migrator.ts'
import { render } from '../../../src/database/migration/writer.ts'
import type { ColumnState, SchemaState } from '../../../src/database/schema/state.ts'
import { type AnyDatabase, folder, migration, onEveryDatabase } from '../fixture.ts'

const computed = (expression: string, kind: string, more = '') =>
  `{ type: { mysql: 'int generated always as (${expression}) ${kind}', sqlite: 'int generated always as (${expression}) ${kind}' }${more} }`
const TABLE = `m.createTable('thing', { columns: {
  id: { type: 'integer' }, a: { type: 'integer' }, twice: ${computed('a * 2', 'stored')} }, primaryKey: ['id'] })`
const LONGER = `m.alterColumn('thing', 'a', { from: { type: 'integer' }, to: { type: 'bigint' } })`

const read = async (db: AnyDatabase) =>
  (await db.selectFrom('thing').selectAll().orderBy('id').execute()).map((row) =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [name, Number(value)])),
  )

onEveryDatabase(t, 'computed columns, in a table with rows', async (t, { db }) => {
  const files = {
    '0001_thing.ts': migration(TABLE),
    '0002_longer.ts': migration(LONGER),
    '0003_stored.ts': migration(
      `m.addColumn('thing', 'sum', ${computed('a + 1', 'stored')})`,
      `m.addColumn('thing', 'n', { type: 'integer' }, { fill: 4 })`,
    ),
    '0004_virtual.ts': migration(
      `m.addColumn('thing', 'square', ${computed('a * a', 'virtual')})`,
      `m.alterColumn('thing', 'twice', { from: ${computed('a * 2', 'stored')}, to: ${computed('a * 3', 'stored')} })`,
    ),
    '0005_dropped.ts': migration(`m.dropColumn('thing', 'sum', ${computed('a + 1', 'stored')})`),
  }
  const migrator = createMigrator({ db, directory: folder(t, files) })
  await migrator.migrate({ to: '0001' })
  await db
    .insertInto('thing')
    .values([
      { id: 1, a: 5 },
      { id: 2, a: 6 },
    ])
    .execute()
  const rows = (more: (a: number) => object) => [5, 6].map((a, i) => ({ id: i + 1, a, ...more(a) }))
  const after = {
    1: rows((a) => ({ twice: a * 2 })),
    2: rows((a) => ({ twice: a * 2 })),
    3: rows((a) => ({ twice: a * 2, sum: a + 1, n: 4 })),
    4: rows((a) => ({ twice: a * 3, sum: a + 1, n: 4, square: a * a })),
    5: rows((a) => ({ twice: a * 3, n: 4, square: a * a })),
  }
  for (const number of [2, 3, 4, 5] as const) {
    await migrator.migrate({ to: `000${number}` })
    t.same(await read(db), after[number], `up to ${number}`)
  }
  for (const number of [4, 3, 2, 1] as const) {
    await migrator.rollback({ steps: 1 })
    t.same(await read(db), after[number], `back to ${number}`)
  }
  await db.updateTable('thing').set({ a: 7 }).where('id', '=', 2).execute()
  t.match((await read(db))[1], { twice: 14 })
})

const KINDS = {
  plain: `{ type: 'integer', nullable: true }`,
  virtual: computed('a + 1', 'virtual', ', nullable: true'),
  stored: computed('a + 1', 'stored', ', nullable: true'),
}
type Kind = keyof typeof KINDS
const CHANGES = (Object.keys(KINDS) as Kind[]).flatMap((from) =>
  (Object.keys(KINDS) as Kind[]).filter((to) => to !== from).map((to) => ({ from, to })),
)

onEveryDatabase(t, 'a column becomes computed, or is it no more', async (t, { db, driver }) => {
  const name = ({ from, to }: (typeof CHANGES)[number]) => `${from}_${to}`
  const columns = CHANGES.map((one) => `${name(one)}: ${KINDS[one.from]}`)
  const indexes = CHANGES.map((one) => `{ name: 'idx_${name(one)}', columns: ['${name(one)}'] }`)
  const files = {
    '0001_thing.ts': migration(
      `m.createTable('thing', { columns: { id: { type: 'integer' }, a: { type: 'integer' }, ${columns} }, primaryKey: ['id'], indexes: [${indexes}] })`,
    ),
    '0002_changed.ts': migration(
      ...CHANGES.map(
        (one) =>
          `m.alterColumn('thing', '${name(one)}', { from: ${KINDS[one.from]}, to: ${KINDS[one.to]} })`,
      ),
    ),
  }
  const directory = folder(t, files)
  const migrator = createMigrator({ db, directory })
  await migrator.migrate({ to: '0001' })
  const given = (way: 'from' | 'to', value: number) =>
    Object.fromEntries(
      CHANGES.filter((one) => one[way] === 'plain').map((one) => [name(one), value]),
    )
  await db
    .insertInto('thing')
    .values([{ id: 1, a: 5, ...given('from', 70) }])
    .execute()
  const all = (value: number) => Object.fromEntries(CHANGES.map((one) => [name(one), value]))
  t.same(await read(db), [{ id: 1, a: 5, ...all(6), ...given('from', 70) }])

  await migrator.migrate()
  t.same(await read(db), [{ id: 1, a: 5, ...all(6) }])
  await db.updateTable('thing').set({ a: 8 }).execute()
  t.same(await read(db), [{ id: 1, a: 8, ...all(9), ...given('to', 6) }])
  const { schema } = await readMigrations(directory)
  t.strictSame(differences(schema, (await readSchema(db)).schema, driver.name), [])

  await migrator.rollback({ steps: 1 })
  t.same(await read(db), [{ id: 1, a: 8, ...all(9) }])
  await db.updateTable('thing').set({ a: 1 }).execute()
  t.same(await read(db), [{ id: 1, a: 1, ...all(2), ...given('from', 9) }])
})

onEveryDatabase(t, 'what was computed as null gets what is filled in', async (t, { db }) => {
  const filled = (to: string) => `{ type: 'integer' }, fill: ${to} }`
  const ways = ['virtual', 'stored'] as const
  const files = {
    '0001_thing.ts': migration(
      `m.createTable('thing', { columns: { id: { type: 'integer' }, a: { type: 'integer', nullable: true }, ${ways.map((way) => `${way}: ${KINDS[way]}, ${way}_set: ${KINDS[way]}`)} }, primaryKey: ['id'] })`,
    ),
    '0002_plain.ts': migration(
      ...ways.flatMap((way) => [
        `m.alterColumn('thing', '${way}', { from: ${KINDS[way]}, to: ${filled('70')})`,
        `m.alterColumn('thing', '${way}_set', { from: ${KINDS[way]}, to: { type: 'bigint', default: 71 } })`,
      ]),
    ),
    '0003_computed.ts': migration(
      ...ways.map(
        (way) =>
          `m.alterColumn('thing', '${way}', { from: { type: 'integer' }, to: ${KINDS[way]}, fill: 72 })`,
      ),
    ),
  }
  const migrator = createMigrator({ db, directory: folder(t, files) })
  const rows = async () => {
    const all = await db.selectFrom('thing').selectAll().orderBy('id').execute()
    const values = (row: object) =>
      Object.entries(row).map(([name, value]) => [name, value === null ? null : Number(value)])
    return all.map((row) => Object.fromEntries(values(row)))
  }
  const expected = (own: (a: number | null) => number | null, set = own) =>
    [5, null].map((a, i) => ({
      ...{ id: i + 1, a },
      ...{ virtual: own(a), stored: own(a), virtual_set: set(a), stored_set: set(a) },
    }))
  const computed = (a: number | null) => (a === null ? null : a + 1)
  const or = (fill: number) => (a: number | null) => computed(a) ?? fill
  await migrator.migrate({ to: '0001' })
  await db
    .insertInto('thing')
    .values([
      { id: 1, a: 5 },
      { id: 2, a: null },
    ])
    .execute()
  t.same(await rows(), expected(computed))
  await migrator.migrate({ to: '0002' })
  t.same(await rows(), expected(or(70), or(71)))
  await t.rejects(db.insertInto('thing').values({ id: 3, virtual: 1, stored: null }).execute())
  await migrator.migrate()
  t.same(await rows(), expected(computed, or(71)))
  await migrator.rollback({ steps: 1 })
  t.same(await rows(), expected(or(72), or(71)))
  await migrator.rollback({ steps: 1 })
  t.same(await rows(), expected(computed))
})

onEveryDatabase(
  t,
  'what a column is computed from gets another name',
  async (t, { db, driver }) => {
    const files = {
      '0001_thing.ts': migration(TABLE),
      '0002_renamed.ts': migration(`m.renameColumn('thing', 'a', 'order')`),
      '0003_longer.ts': migration(LONGER.replace("'a'", "'order'")),
    }
    const directory = folder(t, files)
    const migrator = createMigrator({ db, directory })
    await migrator.migrate({ to: '0001' })
    await db.insertInto('thing').values({ id: 1, a: 5 }).execute()
    await migrator.migrate({ to: '0002' })
    t.same(await read(db), [{ id: 1, order: 5, twice: 10 }])
    await migrator.migrate()
    await db.updateTable('thing').set({ order: 6 }).execute()
    t.same(await read(db), [{ id: 1, order: 6, twice: 12 }])
    const { schema } = await readMigrations(directory)
    t.strictSame(differences(schema, (await readSchema(db)).schema, driver.name), [])
    await migrator.rollback({ steps: 2 })
    await db.updateTable('thing').set({ a: 7 }).execute()
    t.same(await read(db), [{ id: 1, a: 7, twice: 14 }])
  },
)

onEveryDatabase(t, 'an index on both changes with them', async (t, { db, driver }) => {
  const of = (type: string, sql: string): SchemaState => {
    const computed = { type: { mysql: sql, sqlite: sql }, nullable: true } as const
    return {
      thing: {
        columns: {
          id: { type: 'integer' },
          a: { type: 'integer' },
          b: { type },
          c: computed,
          d: computed,
        } as SchemaState[string]['columns'],
        primaryKey: ['id'],
        indexes: [{ name: 'thing_by', columns: ['c', 'd', 'a'] }],
        unique: [{ name: 'thing_once', columns: ['d', 'id'] }],
      },
    }
  }
  const before = of('varchar(9)', 'varchar(40) generated always as (lower(b)) virtual')
  const after = of('varchar(9)', 'bigint generated always as (a + 1) stored')
  const directory = folder(t, {
    '0001_thing.ts': render(diff({}, before)),
    '0002_other.ts': render(diff(before, after)),
  })
  const migrator = createMigrator({ db, directory })
  await migrator.migrate({ to: '0001' })
  await db.insertInto('thing').values({ id: 1, a: 5, b: 'X' }).execute()
  const found = async () => (await readSchema(db)).schema
  await migrator.migrate()
  t.match(await db.selectFrom('thing').selectAll().where('c', '=', 6).execute(), [{ c: 6, d: 6 }])
  t.strictSame(differences(after, await found(), driver.name), [])
  await migrator.rollback({ steps: 1 })
  t.match(await db.selectFrom('thing').selectAll().where('c', '=', 'x').execute(), [{ d: 'x' }])
  t.strictSame(differences(before, await found(), driver.name), [])
})

/** A table with a number and one that is computed from it, which a model names first. */
const withComputed = (name: string, column: ColumnState = { type: 'integer' }): SchemaState => ({
  thing: {
    columns: {
      id: { type: 'integer' },
      [`more_${name}`]: {
        type: {
          mysql: `int generated always as (${name} + 1) stored`,
          sqlite: `int generated always as (${name} + 1) stored`,
        },
      },
      [name]: column,
    },
    primaryKey: ['id'],
  },
})

onEveryDatabase(t, 'both come and go in the order that databases take', async (t, { db }) => {
  const [before, after] = [withComputed('a'), withComputed('b', { type: 'integer', default: 3 })]
  const files = {
    '0001_thing.ts': render(diff({}, before)),
    '0002_other.ts': render(diff(before, after)),
  }
  const migrator = createMigrator({ db, directory: folder(t, files) })
  await migrator.migrate({ to: '0001' })
  await db.insertInto('thing').values({ id: 1, a: 5 }).execute()
  await migrator.migrate()
  t.same(await read(db), [{ id: 1, b: 3, more_b: 4 }])
  await db.deleteFrom('thing').execute()
  await migrator.rollback({ steps: 1 })
  await db.insertInto('thing').values({ id: 1, a: 5 }).execute()
  t.same(await read(db), [{ id: 1, a: 5, more_a: 6 }])
})

onEveryDatabase(t, 'one comes when what it is computed from has its type', async (t, { db }) => {
  const of = (column: ColumnState, more: SchemaState[string]['columns']): SchemaState => ({
    thing: {
      columns: { id: { type: 'integer' }, a: column, ...more },
      primaryKey: ['id'],
      ...(more.sum && { indexes: [{ name: 'thing_sum_idx', columns: ['sum'] }] }),
    },
  })
  const sum = 'bigint generated always as (a + 1) stored'
  const before = of({ type: 'varchar(9)' }, {})
  const after = of({ type: 'integer' }, { sum: { type: { mysql: sum, sqlite: sum } } })
  const files = {
    '0001_thing.ts': render(diff({}, before)),
    '0002_sum.ts': render(diff(before, after)),
  }
  const migrator = createMigrator({ db, directory: folder(t, files) })
  await migrator.migrate({ to: '0001' })
  await db.insertInto('thing').values({ id: 1, a: '5' }).execute()
  await migrator.migrate()
  t.same(await read(db), [{ id: 1, a: 5, sum: 6 }])
  await migrator.rollback({ steps: 1 })
  t.strictSame(await db.selectFrom('thing').selectAll().execute(), [{ id: 1, a: '5' }])
})

onEveryDatabase(t, 'what a column is computed from is not dropped', async (t, { db }) => {
  const files = {
    '0001_thing.ts': migration(TABLE),
    '0002_gone.ts': migration(`m.dropColumn('thing', 'a', { type: 'integer' })`),
  }
  const migrator = createMigrator({ db, directory: folder(t, files) })
  await t.rejects(migrator.migrate(), {
    code: 'MIGRATION_INVALID',
    message: /operation 1 \(dropColumn\): twice is computed from a: drop it first, or change it/,
  })
})

t.test('an expression that is spelled in another way is no difference', async (t) => {
  const [one, other] = [withComputed('a'), withComputed('`A`')] as const
  const spelled = {
    thing: {
      ...other.thing,
      columns: { ...one.thing?.columns, more_a: other.thing?.columns['more_`A`'] },
    },
  } as SchemaState
  t.strictSame(diff(one, spelled), [])
  t.match(diff(one, withComputed('b')), [{ type: 'addColumn', column: 'b' }])
})
