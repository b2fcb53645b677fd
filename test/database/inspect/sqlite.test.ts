import t from 'tap'
import { parseCreateTable } from '../../../src/database/dialect/sqlite/introspect.ts'
import { readSchema } from '../../../src/database/inspect/differences.ts'
import { open } from '../fixture.ts'
import { runAll } from './schema.ts'

t.test('what only SQLite has is kept in its SQL', async (t) => {
  const db = await open(t, 'sqlite::memory:')
  await runAll(db, [
    'create table parent (id integer primary key autoincrement, code text unique)',
    `create table [child] ( -- a comment, with (a parenthesis
      a INT not null, "b" VARCHAR(10) COLLATE NOCASE not null default 'it''s',
      /* check (a in ('x')) */
      bare, amount decimal(10, 2) default 1.50, big unsigned big int, moment timestamp default (datetime('now')),
      twice int generated always as (a * 2) stored, quoted text default "text",
      kind text constraint child_kind_check check (kind in ('a', 'it''s (,')),
      free text check ("free" IN ('x')),
      parent_id integer references parent on delete set null deferrable initially deferred,
      other_id int constraint "to parent" references parent (id) on update cascade not deferrable,
      primary key (a, b), unique (amount, big), foreign key (a) references parent (id)
    )`,
    'create index child_moment on child (moment)',
    'alter table child add column late integer references parent (id)',
  ])
  const { schema, notes } = await readSchema(db)
  const now = "(datetime('now'))"
  t.strictSame(schema, {
    parent: {
      columns: {
        id: { type: 'integer', generated: true },
        code: { type: 'text', nullable: true },
      },
      primaryKey: ['id'],
      unique: [{ name: 'parent_code_key', columns: ['code'] }],
    },
    child: {
      columns: {
        a: { type: 'integer' },
        b: {
          type: 'varchar(10)',
          default: "it's",
          comparison: 'ignoreCase',
        },
        bare: { type: { sqlite: '', mysql: 'longblob' }, nullable: true },
        amount: {
          type: 'decimal(10,2)',
          nullable: true,
          default: '1.50',
        },
        big: { type: { sqlite: 'unsigned big int', mysql: 'bigint' }, nullable: true },
        moment: { type: 'datetime', nullable: true, default: { mysql: now, sqlite: now } },
        twice: {
          type: { sqlite: 'INT generated always as (a * 2) stored', mysql: 'int' },
          nullable: true,
        },
        quoted: { type: 'text', nullable: true, default: 'text' },
        kind: { type: 'text', nullable: true, values: ['a', "it's (,"] },
        free: { type: 'text', nullable: true, values: ['x'] },
        parent_id: { type: 'integer', nullable: true },
        other_id: { type: 'integer', nullable: true },
        late: { type: 'integer', nullable: true },
      },
      primaryKey: ['a', 'b'],
      indexes: [{ name: 'child_moment', columns: ['moment'] }],
      unique: [{ name: 'child_amount_big_key', columns: ['amount', 'big'] }],
      foreignKeys: [
        ['child_a_fkey', 'a', { onDelete: 'no action', onUpdate: 'no action' }],
        ['child_late_fkey', 'late', { onDelete: 'no action', onUpdate: 'no action' }],
        ['child_parent_id_fkey', 'parent_id', { onDelete: 'set null', onUpdate: 'no action' }],
        ['to parent', 'other_id', { onDelete: 'no action', onUpdate: 'cascade' }],
      ].map(([name, column, actions]) => ({
        ...{ name, columns: [column], table: 'parent', references: ['id'] },
        ...(actions as object),
      })),
    },
  })
  t.strictSame(notes, [
    'child: a deferrable foreign key is not kept',
    'child: the check of free is read as its values and gets a name of its own',
  ])
})

t.test('what no schema can say is told', async (t) => {
  const db = await open(t, 'sqlite::memory:')
  await runAll(db, [
    'create table numbered (id integer primary key, name text)',
    'create table keyed (code text primary key on conflict replace, n int, check (n > 0)) strict, without rowid',
    'create table loose (code varchar(3) primary key, n int constraint small check (n < 9), p int references numbered (id) on delete set default)',
    'create index part on numbered (name) where id > 1',
    'create index down on numbered (name desc)',
    'create unique index expressed on numbered (lower(name))',
    'create index collated on numbered (name collate nocase)',
    'create view looking as select id from numbered',
    'create trigger starting after insert on numbered begin select 1; end',
    'create virtual table found using fts5(words)',
    'create table plinth_own (n int)',
  ])
  const { schema, notes } = await readSchema(db)
  t.strictSame(Object.keys(schema), ['keyed', 'loose', 'numbered'])
  t.strictSame(notes.toSorted(), [
    'keyed: on conflict replace is not kept',
    'keyed: strict is not kept',
    'keyed: the check (n > 0) is left out',
    'keyed: without rowid is not kept',
    'loose: code is a primary key that SQLite lets be null; a model does not',
    'loose: the check small (n < 9) is left out',
    'loose: the foreign key loose_p_fkey sets the default, which is read as no action',
    'numbered: id is numbered by SQLite without autoincrement, which a model cannot say',
    'numbered: the index collated has the collation nocase and is left out',
    'numbered: the index down is descending and is left out',
    'numbered: the index expressed is on an expression and is left out',
    'numbered: the index part has a condition and is left out',
    'the trigger starting of numbered is left out',
    'the view looking is left out',
    'the virtual table found is left out',
  ])
})

t.test('reads names, checks and clauses from the text of a table', async (t) => {
  const { columns, checks, foreignKeys, extras } = parseCreateTable(`
    CREATE TABLE IF NOT EXISTS "odd "" name" (
      "Id" integer CONSTRAINT pk PRIMARY KEY ASC AUTOINCREMENT, -- the, key
      \`x,y\` text default ('a, b)') CONSTRAINT c1 CHECK (\`x,y\` <> 'it''s)') COLLATE rtrim,
      [z] int CONSTRAINT f1 REFERENCES t ON DELETE SET NULL CONSTRAINT c2 CHECK ((z) > (0)),
      g AS (z + 1),
      CONSTRAINT f2 FOREIGN KEY (z) REFERENCES t (a) ON DELETE SET DEFAULT CHECK (1)
      FOREIGN KEY (z) REFERENCES t)`)
  t.strictSame(Object.fromEntries(columns), {
    id: { primaryKey: true, autoincrement: true },
    'x,y': { collate: 'rtrim' },
    z: {},
    g: { generated: 'generated always as (z + 1) virtual' },
  })
  t.strictSame(checks, [
    { name: 'c1', sql: "`x,y` <> 'it''s)'" },
    { name: 'c2', sql: '(z) > (0)' },
    { name: undefined, sql: '1' },
  ])
  t.strictSame(foreignKeys, ['f1', 'f2', undefined])
  t.strictSame(extras, [])
})
