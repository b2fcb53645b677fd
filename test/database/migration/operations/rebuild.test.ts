import t, { type Test } from 'tap'
import { runRebuild } from '../../../../src/database/dialect/sqlite/ddl.ts'
import {
  alterColumn,
  createTable,
  dropColumn,
  renameColumn,
  renameTable,
} from '../../../../src/database/migration/index.ts'
import { compileOperations } from '../../../../src/database/migration/operations/index.ts'
import type { Operation } from '../../../../src/database/migration/operations/operation.ts'
import type { SchemaState, TableState } from '../../../../src/database/schema/state.ts'
import { databaseDrivers } from '../../../helpers/drivers.ts'
import { type AnyDatabase, open } from '../../fixture.ts'
import { apply, creating, look, rowsOf, run } from './fixture.ts'

const values = ['town', 'city'] as const
const city: TableState = {
  columns: {
    id: { type: 'bigint', generated: true },
    name: { type: 'varchar(40)' },
    kind: { type: 'varchar(8)', values, default: 'city' },
  },
  primaryKey: ['id'],
}
const before: SchemaState = {
  city,
  street: {
    columns: { id: { type: 'integer' }, city: { type: 'bigint' } },
    primaryKey: ['id'],
    indexes: [{ name: 'street_city_idx', columns: ['city'] }],
    foreignKeys: [
      {
        name: 'street_city_fkey',
        columns: ['city'],
        table: 'city',
        references: ['id'],
        onDelete: 'cascade',
      },
    ],
  },
}
const longer = alterColumn('city', 'name', {
  from: { type: 'varchar(40)' },
  to: { type: 'varchar(80)' },
})

const [sqlite] = databaseDrivers

function onSqlite(name: string, test: (t: Test, db: AnyDatabase) => Promise<void>): void {
  t.test(name, async (t) => {
    const db = await open(t, (await sqlite?.url(t)) ?? '')
    await apply(t, { db, dialect: 'sqlite' }, creating(before))
    await test(t, db)
  })
}

const change = (t: Test, db: AnyDatabase, operations: readonly Operation[], state = before) =>
  apply(t, { db, dialect: 'sqlite' }, operations, state)

/** What the database holds beside tables, as it was written. */
const others = (db: AnyDatabase) =>
  rowsOf(
    db,
    "select type, name, sql from sqlite_schema where type <> 'table' and sql is not null order by name",
  )

onSqlite('views, triggers and indexes that no operation knows stay', async (t, db) => {
  for (const statement of [
    'create table log (x)',
    'create view names as select name from city',
    'create trigger into_log after insert on city begin insert into log values (new.name); end',
    'create trigger from_log after delete on log begin update city set name = old.x; end',
    "create index towns on city (name) where kind = 'town'",
    "insert into city (name) values ('Oslo')",
    'insert into street values (1, 1)',
  ]) {
    await run(db, statement)
  }
  const was = await others(db)
  await change(t, db, [longer])
  t.strictSame(await others(db), was)
  t.match(await rowsOf(db, "select type from pragma_table_info('city') where name = 'name'"), [
    { type: 'varchar(80)' },
  ])
  await run(db, "insert into city (name) values ('Bergen')")
  t.strictSame(await rowsOf(db, 'select * from names'), [{ name: 'Oslo' }, { name: 'Bergen' }])
  t.strictSame(await rowsOf(db, 'select x from log'), [{ x: 'Oslo' }, { x: 'Bergen' }])
  t.strictSame(await rowsOf(db, 'select * from street'), [{ id: 1, city: 1 }])
  await run(db, 'delete from log where x = 1')
  await run(db, 'delete from city where id = 1')
  t.strictSame(await rowsOf(db, 'select * from street'), [], 'the reference is as it was')
})

onSqlite('views and triggers follow a rename of what they are about', async (t, db) => {
  await run(db, 'create table log (x)')
  await run(db, 'create view kinds as select kind from city')
  await run(
    db,
    'create trigger into_log after insert on city begin insert into log values (new.kind); end',
  )
  await change(t, db, [renameColumn('city', 'kind', 'sort'), renameTable('city', 'place')])
  await run(db, "insert into place (name, sort) values ('Oslo', 'town')")
  t.strictSame(await rowsOf(db, 'select * from kinds'), [{ sort: 'town' }])
  t.strictSame(await rowsOf(db, 'select * from log'), [{ x: 'town' }])
  await t.rejects(
    run(db, "insert into place (name, sort) values ('Oslo', 'x')"),
    /place_sort_check/,
  )
})

for (const [what, statement] of [
  ['view', 'create view kinds as select kind from city'],
  [
    'trigger',
    "create trigger kinds after update on city begin select raise(abort, 'no') where new.kind = ''; end",
  ],
  ['index', 'create index kinds on city (kind)'],
] as const) {
  onSqlite(`a column that a ${what} uses is not dropped`, async (t, db) => {
    await run(db, statement)
    await run(db, "insert into city (name) values ('Oslo')")
    const was = [await look(db, 'sqlite'), await others(db)]
    const dropping = dropColumn('city', 'kind', city.columns.kind as TableState['columns'][string])
    await t.rejects(change(t, db, [dropping]), /no such column: (new\.)?kind/)
    t.strictSame([await look(db, 'sqlite'), await others(db)], was)
    t.strictSame(await rowsOf(db, 'select * from city'), [{ id: 1, name: 'Oslo', kind: 'city' }])
    t.strictSame(await rowsOf(db, 'pragma legacy_alter_table'), [{ legacy_alter_table: 0 }])
  })
}

onSqlite('values stay exactly as they are stored', async (t, db) => {
  const columns = {
    id: { type: 'bigint', generated: true },
    price: { type: 'decimal(30,2)', nullable: true },
    tags: { type: 'json', nullable: true },
    data: { type: 'blob', nullable: true },
    big: { type: 'bigint', nullable: true },
    ratio: { type: 'double', nullable: true },
    note: { type: 'text', nullable: true },
    at: { type: 'datetime', nullable: true },
    'odd "name"': { type: 'varchar(9)', nullable: true },
  } as const
  const state = await change(t, db, [createTable('thing', { columns, primaryKey: ['id'] })])
  await run(
    db,
    `insert into thing values
    (1, '12345678901234567890.10', '{"a": 1.0}', x'00ff', 9223372036854775807, 1e300, '007', '2026-11-22', '1'),
    (5, null, null, null, null, null, null, null, null), (9, '1', '1', x'', -1, 0.1, '', '', '')`,
  )
  await run(db, 'delete from thing where id = 9')
  const stored = () =>
    rowsOf(
      db,
      `select ${Object.keys(columns)
        .map((name) => `"${name.replaceAll('"', '""')}"`)
        .map((name, at) => `quote(${name}) as v${at}, typeof(${name}) as t${at}`)
        .join(', ')} from thing order by id`,
    )
  const was = await stored()
  const from = { type: 'text', nullable: true } as const
  const operation = alterColumn('thing', 'note', { from, to: { ...from, default: 'x' } })
  await change(t, db, [operation], state)
  t.strictSame(await stored(), was)
  await run(db, 'insert into thing (price) values (1)')
  t.strictSame(await rowsOf(db, 'select max(id) as id from thing'), [{ id: 10 }])
})

onSqlite('the numbers of an emptied table are not given again', async (t, db) => {
  await run(db, "insert into city (id, name) values (41, 'Oslo')")
  await run(db, 'delete from city')
  await change(t, db, [longer])
  await run(db, "insert into city (name) values ('Bergen')")
  t.strictSame(await rowsOf(db, 'select id from city'), [{ id: 42 }])
})

onSqlite('bytes become text, and text bytes', async (t, db) => {
  const columns = { id: { type: 'integer' }, a: { type: 'text' }, b: { type: 'blob' } } as const
  const state = await change(t, db, [createTable('thing', { columns, primaryKey: ['id'] })])
  await run(db, "insert into thing values (1, 'ä', x'c3a4')")
  const operations = [
    alterColumn('thing', 'a', { from: columns.a, to: columns.b }),
    alterColumn('thing', 'b', { from: columns.b, to: columns.a }),
  ]
  await change(t, db, operations, state)
  const [row] = await rowsOf(db, 'select * from thing')
  t.strictSame(row, { id: 1, a: Buffer.from('ä'), b: 'ä' })
})

onSqlite('a table with a column that nobody recorded is left alone', async (t, db) => {
  await run(db, "alter table city add column note text default 'precious'")
  await run(db, "insert into city (name) values ('Oslo')")
  await t.rejects(change(t, db, [longer]), {
    message:
      'SQLite has to rebuild the table city, which has columns that the recorded state of the schema does not know of: note. They would be lost; add them in a migration first, or drop them',
  })
  t.match(await rowsOf(db, 'select * from city'), [{ name: 'Oslo', note: 'precious' }])
  await run(db, 'alter table city drop column note')
  await run(db, 'alter table city rename column name to title')
  await run(db, 'alter table city drop column title')
  await t.rejects(change(t, db, [longer]), {
    message:
      'SQLite has to rebuild the table city, which does not have columns that the recorded state of the schema knows of: name. Nothing was changed; add them by hand, or drop them in a migration first',
  })
})

onSqlite('foreign keys have to be off, because they would act', async (t, db) => {
  await run(db, "insert into city (name) values ('Oslo')")
  await run(db, 'insert into street values (1, 1)')
  const [step] = compileOperations([longer], before, 'sqlite')
  if (!step || !('rebuild' in step)) throw new Error('It is no rebuild')
  await t.rejects(
    db.transaction().execute((db) => runRebuild(db, step)),
    /with "pragma foreign_keys" on/,
  )
  t.strictSame(await rowsOf(db, 'select * from street'), [{ id: 1, city: 1 }])
})

onSqlite('a table is renamed in case only', async (t, db) => {
  await run(db, "insert into city (name) values ('Oslo')")
  await run(db, 'insert into street values (1, 1)')
  await change(t, db, [renameTable('city', 'City')])
  t.match(await rowsOf(db, "select name from sqlite_schema where name like 'city'"), [
    { name: 'City' },
  ])
  t.match(await rowsOf(db, 'select "table" from pragma_foreign_key_list(\'street\')'), [
    { table: 'City' },
  ])
})
