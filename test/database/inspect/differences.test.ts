import t from 'tap'
import { canonical, differences } from '../../../src/database/inspect/differences.ts'
import type { SchemaState, TableState } from '../../../src/database/schema/state.ts'

const CITY: TableState = {
  columns: { id: { type: 'bigint', generated: true }, name: { type: 'varchar(20)' } },
  primaryKey: ['id'],
  indexes: [{ name: 'city_name_idx', columns: ['name'] }],
}

/** The city with other columns, or anything else. */
const city = (change: Partial<TableState>): SchemaState => ({
  city: { ...CITY, ...change, columns: { ...CITY.columns, ...change.columns } },
})

t.test('tells every difference', async (t) => {
  const key = { name: 'city_name_fkey', columns: ['name'], table: 'word', references: ['w'] }
  const found: [SchemaState, string[]][] = [
    [{}, ['city: the table is missing']],
    [{ ...city({}), town: CITY }, ['town: the table is not wanted']],
    [
      city({ columns: { name: { type: 'varchar(9)', nullable: true, default: 'x' } } }),
      ['city.name: is varchar(9) null default "x"; wanted: varchar(20) not null'],
    ],
    [
      city({ columns: { kind: { type: 'varchar(1)', values: ['a', 'b'] } } }),
      ['city.kind: is not wanted: varchar(1) not null one of a, b'],
    ],
    [
      { city: { ...CITY, columns: { id: { type: 'bigint', generated: true } } } },
      ['city.name: is missing; wanted: varchar(20) not null'],
    ],
    [
      city({ primaryKey: ['id', 'name'] }),
      ['city: has the primary key (id, name); wanted: primary key (id)'],
    ],
    [
      city({ indexes: [{ name: 'city_name_idx', columns: ['name', 'id'] }] }),
      ['city.city_name_idx: is index (name, id); wanted: index (name)'],
    ],
    [
      city({ unique: CITY.indexes ?? [], indexes: [] }),
      [
        'city.city_name_idx: is missing; wanted: index (name)',
        'city.city_name_idx: is not wanted: unique (name)',
      ],
    ],
    [
      city({ foreignKeys: [{ ...key, onDelete: 'cascade', onUpdate: 'set null' }] }),
      [
        'city.city_name_fkey: is not wanted: foreign key (name) to word (w) on delete cascade on update set null',
      ],
    ],
  ]
  for (const [schema, lines] of found) {
    t.strictSame(differences(city({}), schema, 'mysql'), lines)
  }
})

t.test('two ways to say the same are no difference', async (t) => {
  const both = (mysql: string, sqlite: string) => ({ mysql, sqlite })
  const name = CITY.columns.name as TableState['columns'][string]
  const fkey = { name: 'f', columns: ['name'], table: 'word', references: ['w'] }
  const now = (mysql: string, sqlite: string): SchemaState =>
    city({ columns: { at: { type: 'datetime', default: both(mysql, sqlite) } } })
  const column = (type: TableState['columns'][string]['type'], value?: string | number | boolean) =>
    city({ columns: { x: { type, ...(value !== undefined && { default: value }) } } })
  const pairs: [SchemaState, SchemaState, ('mysql' | 'sqlite')[]][] = [
    [
      city({ columns: { name, id: { type: 'bigint', generated: true } } }),
      city({}),
      ['mysql', 'sqlite'],
    ],
    [city({ unique: [], foreignKeys: [] }), city({}), ['mysql', 'sqlite']],
    [
      now('NOW(3)', 'CURRENT_TIMESTAMP'),
      now('now( 3 )', '(current_timestamp)'),
      ['mysql', 'sqlite'],
    ],
    [now('current_timestamp()', 'a'), now('CURRENT_TIMESTAMP', 'b'), ['mysql']],
    [column('boolean', 0), column('boolean', false), ['mysql', 'sqlite']],
    [column('integer', '7'), column('integer', 7), ['mysql', 'sqlite']],
    [column('decimal(5,2)', 1.5), column('decimal(5,2)', '1.50'), ['mysql', 'sqlite']],
    [
      column('datetime', '2020-01-01T00:00:00Z'),
      column('datetime', '2020-01-01 00:00:00.000'),
      ['mysql', 'sqlite'],
    ],
    [column(both('INT(10) UNSIGNED', 'x')), column(both('int unsigned', 'y')), ['mysql']],
    [column(both("enum('a', 'B')", 'x')), column(both("enum('a','B')", 'y')), ['mysql']],
    [column(both('int', 'integer')), column('integer'), ['mysql', 'sqlite']],
    [column('char(36)'), column('uuid'), ['sqlite']],
    [
      city({ columns: { id: { type: 'integer', generated: true } } }),
      city({ columns: { id: { type: 'bigint', generated: true } } }),
      ['sqlite'],
    ],
    [
      city({ foreignKeys: [{ ...fkey, onDelete: 'restrict' }] }),
      city({ foreignKeys: [fkey] }),
      ['mysql', 'sqlite'],
    ],
    [
      city({ foreignKeys: [{ ...fkey, onDelete: 'no action' }] }),
      city({ foreignKeys: [fkey] }),
      ['mysql'],
    ],
  ]
  for (const [one, other, same] of pairs) {
    for (const dialect of ['mysql', 'sqlite'] as const) {
      const lines = differences(one, other, dialect)
      t.equal(lines.length === 0, same.includes(dialect), `${dialect}: ${lines.join()}`)
      t.strictSame(canonical(canonical(one, dialect), dialect), canonical(one, dialect))
    }
  }
})
