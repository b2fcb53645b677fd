import t from 'tap'
import { readSchema } from '../../../src/database/inspect/differences.ts'
import { diff } from '../../../src/database/migration/autodetector.ts'
import { compileOperations } from '../../../src/database/migration/operations/index.ts'
import { databaseDrivers } from '../../helpers/drivers.ts'
import { open } from '../fixture.ts'
import { runAll } from './schema.ts'

const mysql = databaseDrivers.filter(({ name }) => name === 'mysql')

for (const driver of mysql) {
  t.test('what only MySQL has is kept in its SQL', async (t) => {
    const db = await open(t, await driver.url(t))
    await runAll(db, [
      'create table parent (id int unsigned auto_increment primary key) default charset utf8mb4',
      `create table child (
        a int, b int,
        small smallint(3) unsigned not null default 3,
        middle mediumint, filled int(5) zerofill,
        rate float, price decimal(4,2) unsigned default 4.99,
        kind enum('G', 'PG''13') default 'G', flags set('x', 'y'),
        made year, at datetime, touched timestamp not null default current_timestamp on update current_timestamp,
        latin varchar(10) character set latin1, bare varbinary(9), short text, bits bit(3) default b'101',
        sum int as (a + b) stored, word varchar(9) as (concat('a''', b)) virtual,
        code char(36) default (uuid()), later int default (1 + 2),
        parent_id int unsigned, n int auto_increment unique,
        primary key (a, b),
        constraint to_parent foreign key (parent_id) references parent (id) on delete cascade on update set null
      ) default charset utf8mb4`,
    ])
    const { schema, notes } = await readSchema(db)
    t.strictSame(notes, [])
    const { columns = {}, ...keys } = schema.child ?? {}
    const sqlOf = (type: unknown) =>
      typeof type === 'object' ? Object.values(type as object) : type
    const types = Object.entries(columns).map(([name, { type }]) => [name, sqlOf(type)])
    t.match(Object.fromEntries(types), {
      a: 'integer',
      small: ['smallint unsigned', 'integer'],
      middle: ['mediumint', 'integer'],
      filled: ['int(5) unsigned zerofill', 'bigint'],
      rate: ['float', 'double precision'],
      price: ['decimal(4,2) unsigned', 'decimal(4,2)'],
      kind: ["enum('G','PG''13')", 'text'],
      flags: ["set('x','y')", 'text'],
      made: ['year', 'smallint'],
      at: ['datetime', 'datetime(3)'],
      touched: [/^timestamp on update current_timestamp/, 'datetime(3)'],
      latin: ['varchar(10) character set latin1 collate latin1_swedish_ci', 'varchar(10)'],
      bare: ['varbinary(9)', 'blob'],
      short: ['text', 'text'],
      bits: ['bit(3)', 'blob'],
      sum: [/^int generated always as \(`a` \+ `b`\) stored$/, 'bigint'],
      word: [/^varchar\(9\) generated always as \(concat\(.*,`b`\)\) virtual$/, 'varchar(9)'],
      code: 'char(36)',
      later: 'integer',
      parent_id: ['int unsigned', 'bigint'],
      n: ['int auto_increment', 'bigint'],
    })
    const defaults = Object.entries(columns).flatMap(([name, column]) =>
      column.default === undefined ? [] : [[name, column.default]],
    )
    t.match(Object.fromEntries(defaults), {
      small: 3,
      price: 4.99,
      kind: 'G',
      touched: { mysql: /^current_timestamp/i, sqlite: /strftime/ },
      bits: { mysql: "b'101'", sqlite: "x'05'" },
      code: { mysql: '(uuid())' },
      later: { mysql: '(1 + 2)' },
    })
    t.strictSame(keys, {
      primaryKey: ['a', 'b'],
      indexes: [{ name: 'to_parent', columns: ['parent_id'] }],
      unique: [{ name: 'n', columns: ['n'] }],
      foreignKeys: [
        {
          name: 'to_parent',
          columns: ['parent_id'],
          table: 'parent',
          references: ['id'],
          onDelete: 'cascade',
          onUpdate: 'set null',
        },
      ],
    })
    t.match(schema.parent, { columns: { id: { generated: true } }, primaryKey: ['id'] })
  })

  t.test('what no schema can say is told', async (t) => {
    const db = await open(t, await driver.url(t))
    await runAll(db, [
      `create table plain (
        id int primary key comment 'its key', name varchar(20), body text,
        key part (name(5)), fulltext key words (body), key down (id desc, name),
        constraint positive check (id > 0), constraint named check (name in ('a', 'b'))
      ) comment 'a comment' default charset utf8mb4 collate utf8mb4_bin`,
      'create table parts (n int) engine = MyISAM default charset utf8mb4 partition by hash (n) partitions 2',
      'create view looking as select id from plain',
      'create trigger setting before insert on plain for each row set new.id = 1',
      'create procedure doing() select 1',
      'create function giving() returns int deterministic return 1',
      'create event happening on schedule every 1 day disable do select 1',
      'create table plinth_own (n int)',
    ])
    const { schema, notes } = await readSchema(db)
    t.strictSame(Object.keys(schema), ['parts', 'plain'])
    t.strictSame(schema.plain?.indexes, undefined)
    t.match(notes.toSorted(), [
      /^parts: its partitions are left out$/,
      /^parts: the engine MyISAM becomes InnoDB$/,
      /^plain: the check named \(`name` in \('a','b'\)\) is left out$/,
      /^plain: the check positive \(`id` > 0\) is left out$/,
      /^plain: the collation utf8mb4_bin becomes utf8mb4_\w+ in a new table$/,
      /^plain: the comment 'a comment' is left out$/,
      /^plain: the comment 'its key' of id is left out$/,
      /^plain: the index down is descending and is left out$/,
      /^plain: the index part is on the first 5 characters of name and is left out$/,
      /^plain: the index words is a fulltext index and is left out$/,
      /^the event happening is left out$/,
      /^the function giving is left out$/,
      /^the procedure doing is left out$/,
      /^the trigger setting of plain is left out$/,
      /^the view looking is left out$/,
    ])
    t.strictSame(Object.keys((await readSchema(db, { tables: ['plain'] })).schema), ['plain'])
  })
}

for (const driver of mysql) {
  t.test('defaults that an old table has are told, or mean the same on SQLite', async (t) => {
    const db = await open(t, await driver.url(t))
    await runAll(db, [
      "set session sql_mode = ''",
      `create table old (
        id int primary key,
        made datetime not null default '0000-00-00 00:00:00',
        born date not null default '0000-00-00',
        seen datetime(3) not null default current_timestamp(3),
        bits bit(12) not null default b'100000001'
      ) default charset utf8mb4`,
    ])
    const { schema, notes } = await readSchema(db)
    t.strictSame(notes, [
      "old: the default '0000-00-00 00:00:00' of made is left out",
      "old: the default '0000-00-00' of born is left out",
    ])
    const [sqlite] = databaseDrivers.filter(({ name }) => name === 'sqlite')
    const other = await open(t, (await sqlite?.url(t)) as string)
    const steps = compileOperations(diff({}, schema), {}, 'sqlite')
    await runAll(
      other,
      steps.flatMap((step) => ('sql' in step ? [step.sql] : [])),
    )
    for (const one of [db, other])
      await one
        .insertInto('old')
        .values({ id: 1, made: '2026-01-02 03:04:05', born: '2026-01-02' })
        .execute()
    const [row] = await other.selectFrom('old').selectAll().execute()
    t.match(row?.seen, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    t.strictSame(row?.bits, Buffer.from([1, 1]))
    const [there] = await db.selectFrom('old').select('bits').execute()
    t.strictSame(there?.bits, Buffer.from([1, 1]))
  })
}
