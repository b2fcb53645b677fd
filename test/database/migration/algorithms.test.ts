import { sql } from 'kysely'
import t from 'tap'
import * as m from '../../../src/database/migration/index.ts'
import { algorithmsOf } from '../../../src/database/migration/lint.ts'
import { compileOperations } from '../../../src/database/migration/operations/index.ts'
import type { Algorithm } from '../../../src/database/migration/operations/operation.ts'
import type { ColumnState, SchemaState, TableState } from '../../../src/database/schema/state.ts'
import { type AnyDatabase, onMysql } from '../fixture.ts'
import { create } from '../inspect/schema.ts'

const varchar = (length: number, more: Partial<ColumnState> = {}): ColumnState => ({
  type: `varchar(${length})`,
  ...more,
})
const CITY: TableState = {
  columns: {
    id: { type: 'integer' },
    name: varchar(20),
    longer: varchar(100),
    size: { type: 'integer', default: 1 },
    note: { type: 'varchar(40)', nullable: true },
    kind: varchar(8, { values: ['town', 'city'], default: 'town' }),
    made: { type: 'datetime' },
    half: {
      type: { mysql: 'int generated always as (size / 2) stored', sqlite: 'integer' },
      nullable: true,
    },
  },
  primaryKey: ['id'],
  indexes: [{ name: 'city_size_idx', columns: ['size'] }],
  unique: [{ name: 'city_name_key', columns: ['name'] }],
}
const KEY = { name: 'visit_city_fkey', columns: ['city'], table: 'city', references: ['id'] }
const VISIT: TableState = {
  columns: { id: { type: 'integer' }, city: { type: 'integer' }, by: { type: 'integer' } },
  primaryKey: ['id'],
  indexes: [
    { name: 'visit_city_idx', columns: ['city'] },
    { name: 'visit_by_idx', columns: ['by'] },
  ],
  foreignKeys: [KEY],
}
const BEFORE: SchemaState = { city: CITY, visit: VISIT }
const column = (name: string) => CITY.columns[name] as ColumnState
const alter = (name: string, to: ColumnState, fill?: string) =>
  m.alterColumn('city', name, { from: column(name), to, ...(fill && { fill }) })
const virtual: ColumnState = {
  type: { mysql: 'int generated always as (size / 3) virtual', sqlite: 'integer' },
  nullable: true,
}

const OPERATIONS: Readonly<Record<string, m.Operation>> = {
  'a table': m.createTable('river', { columns: { id: { type: 'integer' } }, primaryKey: ['id'] }),
  'a column that may be null': m.addColumn('city', 'a', { type: 'text', nullable: true }),
  'a column with a default': m.addColumn('city', 'a', { type: 'integer', default: 0 }),
  'a text with a default': m.addColumn('city', 'a', { type: 'text', default: 'x' }),
  'a column with an expression as default': m.addColumn('city', 'a', {
    type: 'datetime',
    default: { mysql: 'current_timestamp(3)', sqlite: 'current_timestamp' },
  }),
  'a column that is filled': m.addColumn('city', 'a', { type: 'integer' }, { fill: 7 }),
  'a column with values': m.addColumn('city', 'a', varchar(8, { values: ['x'], default: 'x' })),
  'a computed column that is stored': m.addColumn('city', 'a', column('half')),
  'a computed column that is not': m.addColumn('city', 'a', virtual),
  'less a column': m.dropColumn('city', 'made', column('made')),
  'less a column with values': m.dropColumn('city', 'kind', column('kind')),
  'less a computed column': m.dropColumn('city', 'half', column('half')),
  'another name of a column': m.renameColumn('city', 'longer', 'other'),
  'another name of a column with values': m.renameColumn('city', 'kind', 'sort'),
  'another default': alter('size', { type: 'integer', default: 2 }),
  'a longer text, in one byte': alter('name', varchar(60)),
  'a longer text, from one byte to two': alter('name', varchar(200)),
  'a longer text, in two bytes': alter('longer', varchar(200)),
  'a shorter text': alter('longer', varchar(80)),
  'a text without end': alter('longer', { type: 'text' }),
  'a larger number': alter('size', { type: 'bigint', default: 1 }),
  'null no more': alter('note', { type: 'varchar(40)' }, 'x'),
  'null, too': alter('longer', varchar(100, { nullable: true })),
  'more values': alter('kind', varchar(8, { values: ['town', 'city', 'x'], default: 'town' })),
  'values no more': alter('kind', varchar(8, { default: 'town' })),
  'another comparison of an indexed column': alter(
    'name',
    varchar(20, { comparison: 'ignoreCase' }),
  ),
  'another comparison': alter('longer', varchar(100, { comparison: 'ignoreCase' })),
  'an index': m.addIndex('city', { name: 'city_made_idx', columns: ['made'] }),
  'less an index': m.dropIndex('city', { name: 'city_size_idx', columns: ['size'] }),
  'a unique index': m.addUnique('city', { name: 'city_longer_key', columns: ['longer'] }),
  'less a unique index': m.dropUnique('city', { name: 'city_name_key', columns: ['name'] }),
  'a foreign key': m.addForeignKey('visit', {
    ...KEY,
    name: 'visit_by_fkey',
    columns: ['by'],
  }),
  'less a foreign key': m.dropForeignKey('visit', KEY),
  'another name of a table': m.renameTable('visit', 'stay'),
  'another name of a table with values': m.renameTable('city', 'town'),
}

const LEVELS = ['INSTANT', 'INPLACE', 'COPY'] as const

/** The least that the server takes for a statement; it is done then. */
async function measured(db: AnyDatabase, statement: string): Promise<Algorithm> {
  if (/^(create|drop) table/.test(statement)) {
    await sql.raw(statement).execute(db)
    return 'INSTANT'
  }
  // The statement of its own takes no algorithm.
  const dropped = /^drop index (\S+) on (\S+)$/.exec(statement)
  const text = dropped ? `alter table ${dropped[2]} drop index ${dropped[1]}` : statement
  const comma = text.startsWith('alter') ? ',' : ''
  for (const level of LEVELS) {
    try {
      await sql.raw(`${text}${comma} algorithm=${level.toLowerCase()}`).execute(db)
      return level
    } catch (error) {
      if (level === 'COPY') throw error
    }
  }
  throw new Error('never reached')
}

const worst = (all: readonly Algorithm[]): Algorithm =>
  LEVELS.findLast((level) => all.includes(level)) ?? 'INSTANT'

for (const [name, operation] of Object.entries(OPERATIONS)) {
  onMysql(t, `what the server does for ${name}`, async (t, { db }) => {
    await create(db, BEFORE, 'mysql')
    await sql`insert into city (id, name, longer, made) values (1, 'a', 'b', '2026-11-28')`.execute(
      db,
    )
    await sql`insert into visit values (1, 1, 1)`.execute(db)
    const all: Algorithm[] = []
    for (const step of compileOperations([operation], BEFORE, 'mysql')) {
      if (!('sql' in step)) throw new Error('no statement')
      if (/^update/.test(step.sql)) await sql.raw(step.sql).execute(db)
      else all.push(await measured(db, step.sql))
    }
    t.equal(algorithmsOf(operation, BEFORE)?.mariadb, worst(all), all.join(', '))
  })
}
