import t from 'tap'
import {
  addColumn,
  addForeignKey,
  addIndex,
  addUnique,
  alterColumn,
  createTable,
  dropColumn,
  dropForeignKey,
  dropIndex,
  dropTable,
  dropUnique,
  renameColumn,
  renameTable,
} from '../../../../src/database/migration/index.ts'
import { replayAll, reverseAll } from '../../../../src/database/migration/operations/index.ts'
import type { Operation } from '../../../../src/database/migration/operations/operation.ts'
import type { ColumnState, SchemaState, TableState } from '../../../../src/database/schema/state.ts'
import { onEveryDatabase } from '../../fixture.ts'
import { apply, creating, dropping, look, rowsOf, run } from './fixture.ts'

const kind = { type: 'varchar(8)', values: ['town', "ci'ty", 'a\\b'], default: 'a\\b' } as const
const toCountry = {
  name: 'city_country_fkey',
  columns: ['country'],
  table: 'country',
  references: ['code'],
  onDelete: 'cascade',
} as const
const toCity = {
  name: 'city_twin_fkey',
  columns: ['twin'],
  table: 'city',
  references: ['id'],
  onDelete: 'set null',
} as const

const toPartner = { ...toCity, name: 'city_partner_fkey', columns: ['partner'] } as const

const city: TableState = {
  columns: {
    id: { type: 'bigint', generated: true },
    name: { type: 'varchar(40)' },
    kind,
    country: { type: 'char(2)' },
    twin: { type: 'bigint', nullable: true },
    partner: { type: 'bigint', nullable: true },
    population: { type: 'integer', default: 7 },
    note: { type: 'text', nullable: true },
  },
  primaryKey: ['id'],
  indexes: [
    { name: 'city_country_idx', columns: ['country'] },
    { name: 'city_twin_idx', columns: ['twin'] },
    { name: 'city_partner_idx', columns: ['partner'] },
  ],
  unique: [{ name: 'city_name_key', columns: ['name', 'country'] }],
  foreignKeys: [toCountry, toCity, toPartner],
}

const before: SchemaState = {
  country: {
    columns: { code: { type: 'char(2)' }, note: { type: 'text', nullable: true } },
    primaryKey: ['code'],
  },
  city,
  // Two rows of it go with the city, if a rebuild deletes that.
  street: {
    columns: { id: { type: 'integer', generated: true }, city: { type: 'bigint' } },
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

const altering = (column: string, to: ColumnState) =>
  alterColumn('city', column, { from: city.columns[column] as ColumnState, to })

const CASES: Readonly<Record<string, readonly Operation[]>> = {
  'creates a table that refers to itself': [
    createTable('order', {
      columns: {
        id: { type: 'uuid' },
        group: { type: 'uuid', nullable: true },
        'a "b" `c`': { type: 'varchar(9)', values: ['x'] },
      },
      primaryKey: ['id'],
      indexes: [{ name: 'order "group" `idx`', columns: ['group', 'a "b" `c`'] }],
      foreignKeys: [
        { name: 'order_group_fkey', columns: ['group'], table: 'order', references: ['id'] },
      ],
    }),
    renameColumn('order', 'a "b" `c`', 'select'),
    renameTable('order', 'it\'s `a` "table"'),
    renameColumn('it\'s `a` "table"', 'group', 'the "group"'),
  ],
  'creates a table with a key of two columns': [
    createTable('pair', {
      columns: { left: { type: 'integer' }, right: { type: 'integer' } },
      primaryKey: ['left', 'right'],
    }),
  ],
  'drops a table': [dropTable('street', before.street as TableState)],
  'renames a table that others refer to, with checks': [renameTable('city', 'place')],
  'renames a table without checks': [renameTable('country', 'state')],
  'adds a column that may be null': [addColumn('city', 'x', { type: 'datetime', nullable: true })],
  'adds a column with a default': [addColumn('city', 'x', { type: 'boolean', default: true })],
  'adds a column with values': [addColumn('city', 'x', kind)],
  'adds a column whose default is an expression': [
    addColumn('city', 'x', {
      type: 'datetime',
      default: { mysql: 'current_timestamp(3)', sqlite: 'current_timestamp' },
    }),
  ],
  'adds a text with a default': [addColumn('city', 'x', { type: 'text', default: "it's \\ " })],
  'drops a column': [dropColumn('city', 'population', city.columns.population as ColumnState)],
  'drops a column with values': [dropColumn('city', 'kind', kind)],
  'drops a column after all that is on it': [
    dropForeignKey('city', toPartner),
    dropIndex('city', { name: 'city_partner_idx', columns: ['partner'] }),
    dropColumn('city', 'partner', city.columns.partner as ColumnState),
  ],
  'alters a type': [altering('population', { type: 'bigint', default: 7 })],
  'alters the default': [altering('population', { type: 'integer', default: -1 })],
  'alters whether it may be null': [altering('name', { type: 'varchar(40)', nullable: true })],
  'alters the values': [altering('kind', { ...kind, values: ['town', 'a\\b', 'new'] })],
  'alters a column with values in another way': [altering('kind', { ...kind, default: 'town' })],
  'gives a column values': [altering('name', { type: 'varchar(40)', values: ['Oslo', 'Bergen'] })],
  'takes the values': [altering('kind', { type: 'varchar(8)' })],
  'takes the numbering of a column that others refer to': [altering('id', { type: 'bigint' })],
  'renames a column': [renameColumn('city', 'note', 'remark')],
  'renames a column in case only': [renameColumn('city', 'note', 'Note')],
  'renames a column with values': [renameColumn('city', 'kind', 'sort')],
  'renames a column that others refer to': [renameColumn('country', 'code', 'iso')],
  'renames a column that refers': [renameColumn('city', 'country', 'land')],
  'adds an index': [addIndex('city', { name: 'i', columns: ['population', 'name'] })],
  'drops an index that a foreign key can do without': [
    addIndex('street', { name: 'other', columns: ['city', 'id'] }),
    dropIndex('street', { name: 'street_city_idx', columns: ['city'] }),
  ],
  'adds a unique index': [addUnique('city', { name: 'u', columns: ['population', 'name'] })],
  'drops a unique index': [
    dropUnique('city', { name: 'city_name_key', columns: ['name', 'country'] }),
  ],
  'adds a foreign key': [
    addIndex('street', { name: 's', columns: ['id', 'city'] }),
    addForeignKey('street', {
      name: 'street_self_fkey',
      columns: ['id'],
      table: 'street',
      references: ['id'],
      onUpdate: 'no action',
    }),
  ],
  'drops a foreign key': [dropForeignKey('city', toCountry)],
}

const ROWS = [
  "insert into country (code, note) values ('no', 'x')",
  "insert into city (id, name, country, note) values (1, 'Oslo', 'no', 'a')",
  "insert into city (id, name, kind, country, twin) values (9007199254740993, 'Bergen', 'town', 'no', 1)",
  'insert into street (city) values (1), (9007199254740993)',
]

for (const [title, operations] of Object.entries(CASES)) {
  onEveryDatabase(t, `${title}, and back`, async (t, { db, driver }) => {
    const on = { db, dialect: driver.name }
    const after = replayAll(operations, before)
    await apply(t, on, creating(after))
    const wanted = await look(db, driver.name)
    await apply(t, on, dropping(after), after)

    await apply(t, on, creating(before))
    for (const statement of ROWS) await run(db, statement)
    const was = await look(db, driver.name)

    await apply(t, on, operations, before)
    t.strictSame(await look(db, driver.name), wanted, 'as if made from nothing')
    if (after.street) t.equal((await rowsOf(db, 'select * from street')).length, 2)

    await apply(t, on, reverseAll(operations) ?? [], after)
    t.strictSame(await look(db, driver.name), was, 'as before')
    const rows = await rowsOf(db, 'select id, name, country, twin from city order by id')
    t.strictSame(rows, [
      { id: 1, name: 'Oslo', country: 'no', twin: null },
      { id: 9007199254740993n, name: 'Bergen', country: 'no', twin: 1 },
    ])
  })
}
