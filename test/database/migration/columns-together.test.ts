import { sql } from 'kysely'
import t from 'tap'
import { createMigrator } from '../../../src/database/migration/migrator.ts'
import { folder, migration, onEveryDatabase, onMysql } from '../fixture.ts'
import { runAll } from '../inspect/schema.ts'

const NUMBERS = ['a', 'b', 'c', 'd', 'e', 'f']
const column = (name: string) => `${name}: { type: 'integer' }`
const TABLE = `m.createTable('thing', { columns: { id: { type: 'integer' }, ${NUMBERS.map(column).join(', ')}, old: { type: 'varchar(5)', nullable: true } }, primaryKey: ['id'] })`
const longer = (name: string) =>
  `m.alterColumn('thing', '${name}', { from: { type: 'integer' }, to: { type: 'bigint' } })`
const row = (id: number) => ({ id, a: 1, b: 2, c: 3, d: 4, e: 5, f: 6 })

onEveryDatabase(
  t,
  'a table whose columns change is written anew once',
  async (t, { db, driver }) => {
    const directory = folder(t, {
      '0001_thing.ts': migration(TABLE),
      '0002_longer.ts': migration(
        ...NUMBERS.map(longer),
        `m.dropColumn('thing', 'old', { type: 'varchar(5)', nullable: true })`,
        `m.addColumn('thing', 'kind', { type: 'varchar(4)', values: ['town', 'city'], default: 'town' })`,
      ),
    })
    const migrator = createMigrator({ db, directory })
    await migrator.migrate({ to: '0001' })
    await db
      .insertInto('thing')
      .values([1, 2].map((id) => ({ ...row(id), old: 'x' })))
      .execute()
    const [plan] = await migrator.plan()
    t.equal(plan?.statements.length, 1)
    if (driver.name === 'mysql')
      t.match(
        plan?.statements[0],
        /^alter table `thing` modify column `a` bigint .*add column `kind`/,
      )
    await migrator.migrate()
    const read = () => db.selectFrom('thing').selectAll().orderBy('id').execute()
    t.strictSame(
      await read(),
      [1, 2].map((id) => ({ ...row(id), kind: 'town' })),
    )
    await db
      .insertInto('thing')
      .values({ ...row(3), a: 2 ** 40, kind: 'city' })
      .execute()
    await t.rejects(
      db
        .insertInto('thing')
        .values({ ...row(4), kind: 'lake' })
        .execute(),
    )
    await db.deleteFrom('thing').where('id', '=', 3).execute()
    await migrator.rollback({ steps: 1 })
    t.strictSame(
      await read(),
      [1, 2].map((id) => ({ ...row(id), old: null })),
    )
    await t.test('a column that needs a value is refused with all of them', async (t) => {
      const directory = folder(
        t,
        {
          '0001_thing.ts': migration(TABLE),
          '0002_needed.ts': migration(
            longer('a'),
            `m.addColumn('thing', 'needed', { type: 'integer' })`,
            longer('b'),
          ),
        },
        'needed',
      )
      const migrator = createMigrator({ db, directory })
      await t.rejects(migrator.migrate(), { code: 'MIGRATION_FAILED' })
      t.strictSame(
        await read(),
        [1, 2].map((id) => ({ ...row(id), old: null })),
      )
      await db.deleteFrom('thing').execute()
      await migrator.migrate()
      await db
        .insertInto('thing')
        .values({ ...row(1), a: 2 ** 40, needed: 7 })
        .execute()
      t.match(await read(), [{ a: 2 ** 40, needed: 7 }])
      await t.rejects(db.insertInto('thing').values(row(2)).execute())
    })
  },
)

onMysql(t, 'each keeps what it has beside its type', async (t, { db }) => {
  const directory = folder(t, {
    '0001_thing.ts': migration(TABLE),
    '0002_longer.ts': migration(longer('a'), longer('b'), longer('c')),
  })
  const migrator = createMigrator({ db, directory })
  await migrator.migrate({ to: '0001' })
  await runAll(db, [
    `alter table thing modify a int not null comment 'the first', modify c int not null comment 'the third'`,
  ])
  await migrator.migrate()
  const { rows } = await sql`
    select column_name as name, data_type as type, column_comment as comment from information_schema.columns
    where table_schema = database() and table_name = 'thing' and column_name in ('a', 'b', 'c')
    order by column_name`.execute(db)
  t.strictSame(
    rows.map((row) => ({ ...(row as object) })),
    [
      { name: 'a', type: 'bigint', comment: 'the first' },
      { name: 'b', type: 'bigint', comment: '' },
      { name: 'c', type: 'bigint', comment: 'the third' },
    ],
  )
})
