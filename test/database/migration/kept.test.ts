import { sql } from 'kysely'
import t from 'tap'
import { readSchema } from '../../../src/database/inspect/differences.ts'
import { createMigrator } from '../../../src/database/migration/migrator.ts'
import { dialectOf } from '../../../src/database/portable.ts'
import { type AnyDatabase, folder, migration, onEveryDatabase, onMysql } from '../fixture.ts'
import { runAll } from '../inspect/schema.ts'

const alter = (column: string, from: string, to: string) =>
  migration(`m.alterColumn('thing', '${column}', { from: ${from}, to: ${to} })`)

/** The migrations of a table that was there before them, of which they know some columns. */
function adopting(columns: string, change: string) {
  const table = `m.createTable('thing', { columns: { id: { type: 'integer' }, ${columns} }, primaryKey: ['id'] })`
  return { '0001_thing.ts': migration(table), '0002_change.ts': change }
}

async function declared(db: AnyDatabase): Promise<string> {
  const { rows } = await sql<Record<string, string>>`show create table thing`.execute(db)
  return rows[0]?.['Create Table'] as string
}

onMysql(t, 'a change of a column keeps what it has beside its type', async (t, { db }) => {
  await runAll(db, [
    `create table thing (
      id int primary key,
      size int not null default 1 comment 'it''s \\\\ big' check (size > 0),
      seen datetime(3) null on update current_timestamp(3) comment 'seen',
      kind varchar(4) not null comment 'kind')`,
  ])
  const { rows } = await sql<{ version: string }>`select version() as version`.execute(db)
  const hidden = /mariadb/i.test(rows[0]?.version ?? '')
  if (hidden) await sql.raw('alter table thing add column secret int invisible').execute(db)
  const columns = `size: { type: 'integer', default: 1 }, seen: { type: 'datetime', nullable: true }, kind: { type: 'varchar(4)' }, secret: { type: 'integer', nullable: true }`
  const directory = folder(t, {
    ...adopting(
      columns,
      alter('size', `{ type: 'integer', default: 1 }`, `{ type: 'bigint', nullable: true }`),
    ),
    '0003_seen.ts': alter(
      'seen',
      `{ type: 'datetime', nullable: true }`,
      `{ type: 'datetime', nullable: true, default: { mysql: 'current_timestamp(3)', sqlite: 'current_timestamp' } }`,
    ),
    '0004_kind.ts': alter(
      'kind',
      `{ type: 'varchar(4)' }`,
      `{ type: 'varchar(4)', values: ['a', 'b'] }`,
    ),
    ...(hidden && {
      '0005_secret.ts': alter(
        'secret',
        `{ type: 'integer', nullable: true }`,
        `{ type: 'bigint', nullable: true }`,
      ),
    }),
  })
  const migrator = createMigrator({ db, directory })
  await migrator.migrate({ fake: true, to: '0001' })
  await migrator.migrate()
  const changed = await declared(db)
  t.match(changed, /`size` bigint(\(20\))? DEFAULT NULL COMMENT 'it''s \\\\ big'/)
  t.match(
    changed,
    /`seen` datetime\(3\) (NULL )?DEFAULT current_timestamp\(3\) ON UPDATE current_timestamp\(3\) COMMENT 'seen'/i,
  )
  t.match(changed, /`kind` varchar\(4\) NOT NULL COMMENT 'kind'/)
  t.match(changed, /thing_kind_check/)
  if (hidden) t.match(changed, /`secret` bigint(\(20\))? .*INVISIBLE/)
  await t.rejects(sql.raw('insert into thing (id, size, kind) values (1, 0, "a")').execute(db))
  await migrator.rollback({ steps: hidden ? 4 : 3 })
  const back = await declared(db)
  t.match(back, /`size` int(\(11\))? NOT NULL DEFAULT 1 COMMENT 'it''s \\\\ big'/)
  t.match(back, /`kind` varchar\(4\) NOT NULL COMMENT 'kind'/)
  await t.rejects(sql.raw('insert into thing (id, size, kind) values (1, 0, "a")').execute(db))
})

onMysql(t, 'what the schema knows of a column is its to drop', async (t, { db }) => {
  const known = `{ type: { mysql: "int(5) unsigned zerofill", sqlite: 'integer' } }`
  const directory = folder(t, adopting(`n: ${known}`, alter('n', known, `{ type: 'integer' }`)))
  await createMigrator({ db, directory }).migrate()
  t.notMatch(await declared(db), /zerofill/i)
})

onMysql(t, 'a change that would drop zerofill is refused with what to write', async (t, { db }) => {
  await runAll(db, ['create table thing (id int primary key, n int(5) unsigned zerofill not null)'])
  const change = alter('n', `{ type: 'integer' }`, `{ type: 'bigint' }`)
  const directory = folder(t, adopting(`n: { type: 'integer' }`, change))
  const migrator = createMigrator({ db, directory })
  await migrator.migrate({ fake: true, to: '0001' })
  await t.rejects(migrator.migrate(), {
    code: 'MIGRATION_FAILED',
    message:
      /thing\.n is int\(5\) unsigned zerofill, and would lose zerofill.+ { mysql: 'int\(5\) unsigned zerofill', sqlite: 'bigint' }/,
  })
  t.match(await declared(db), /`n` int\(5\) unsigned zerofill/i)
})

onEveryDatabase(t, 'no check is lost by a change', async (t, { db }) => {
  await runAll(db, [
    'create table thing (id int primary key, n int not null, constraint positive check (n > 0))',
  ])
  const change = alter('n', `{ type: 'integer' }`, `{ type: 'bigint' }`)
  const directory = folder(t, adopting(`n: { type: 'integer' }`, change))
  const migrator = createMigrator({ db, directory })
  await migrator.migrate({ fake: true, to: '0001' })
  if (dialectOf(db) === 'mysql') await migrator.migrate()
  else
    await t.rejects(migrator.migrate(), {
      code: 'MIGRATION_FAILED',
      message:
        /would drop what the recorded schema does not know of \(thing: the check positive \(n > 0\) is left out\); make this change with runSql/,
    })
  await t.rejects(sql.raw('insert into thing values (1, 0)').execute(db))
})

onEveryDatabase(t, 'JSON stays what it is under another name', async (t, { db }) => {
  const table = `m.createTable('thing', { columns: { id: { type: 'integer' }, a: { type: 'json' } }, primaryKey: ['id'] })`
  const directory = folder(t, {
    '0001_thing.ts': migration(table),
    '0002_renamed.ts': migration(`m.renameColumn('thing', 'a', 'b')`),
  })
  const migrator = createMigrator({ db, directory })
  await migrator.migrate({ to: '0001' })
  await db.insertInto('thing').values({ id: 1, a: '{"x":1}' }).execute()
  await migrator.migrate()
  const { schema, notes } = await readSchema(db)
  t.strictSame(notes, [])
  t.strictSame(schema.thing?.columns.b, { type: 'json' })
  t.strictSame(await db.selectFrom('thing').selectAll().execute(), [{ id: 1, b: { x: 1 } }])
})

onEveryDatabase(
  t,
  'a list that others refer to keeps its values under another name',
  async (t, { db }) => {
    const kind = `{ type: 'varchar(4)', values: ['town', 'city'] }`
    const directory = folder(t, {
      '0001_tables.ts': migration(
        `m.createTable('kind', { columns: { name: ${kind} }, primaryKey: ['name'] })`,
        `m.createTable('place', { columns: { id: { type: 'integer' }, kind: { type: 'varchar(4)' } }, primaryKey: ['id'],
        indexes: [{ name: 'place_kind_idx', columns: ['kind'] }],
        foreignKeys: [{ name: 'place_kind_fkey', columns: ['kind'], table: 'kind', references: ['name'] }] })`,
      ),
      '0002_renamed.ts': migration(`m.renameColumn('kind', 'name', 'word')`),
    })
    const migrator = createMigrator({ db, directory })
    await migrator.migrate({ to: '0001' })
    await db.insertInto('kind').values({ name: 'town' }).execute()
    await db.insertInto('place').values({ id: 1, kind: 'town' }).execute()
    await migrator.migrate()
    t.strictSame(await db.selectFrom('kind').selectAll().execute(), [{ word: 'town' }])
    await t.rejects(db.insertInto('kind').values({ word: 'lake' }).execute())
    await t.rejects(db.deleteFrom('kind').execute())
    await migrator.rollback({ steps: 1 })
    t.strictSame(await db.selectFrom('kind').selectAll().execute(), [{ name: 'town' }])
    await t.rejects(db.insertInto('kind').values({ name: 'lake' }).execute())
  },
)
