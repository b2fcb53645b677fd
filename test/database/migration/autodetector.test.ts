import { isDeepStrictEqual } from 'node:util'
import t, { type Test } from 'tap'
import { diff } from '../../../src/database/migration/autodetector.ts'
import { replayAll, reverseAll } from '../../../src/database/migration/operations/index.ts'
import type { Operation } from '../../../src/database/migration/operations/operation.ts'
import { foreignKeyName, indexName, uniqueName } from '../../../src/database/schema/names.ts'
import {
  type ColumnState,
  normalSchema,
  type SchemaState,
  type TableState,
} from '../../../src/database/schema/state.ts'
import { mutateSchema, randomSchema, seeded } from '../../helpers/random-schema.ts'
import { replayStrictly } from '../../helpers/strict-replay.ts'

const country: TableState = {
  columns: { code: { type: 'char(2)' }, name: { type: 'varchar(80)' } },
  primaryKey: ['code'],
}
const city: TableState = {
  columns: {
    id: { type: 'integer', generated: true },
    name: { type: 'varchar(80)' },
    country: { type: 'char(2)' },
  },
  primaryKey: ['id'],
  indexes: [{ name: 'city_country_idx', columns: ['country'] }],
  foreignKeys: [
    { name: 'city_country_fkey', columns: ['country'], table: 'country', references: ['code'] },
  ],
}
const WORLD: SchemaState = { city, country }

/** The operations in short, after both databases were seen to take them and their reverse. */
function brief(t: Test, from: SchemaState, to: SchemaState, renames = {}): string[] {
  const operations = diff(from, to, renames)
  const after = replayStrictly(operations, from)
  t.strictSame(diff(after, to), [], 'nothing is left to do')
  const back = replayStrictly(reverseAll(operations) as Operation[], after)
  t.strictSame(normalSchema(back), normalSchema(from), 'and it can be taken back')
  return operations.map(short)
}

function short(operation: Operation): string {
  const { type, ...rest } = operation as unknown as Record<string, string> & Operation
  const named = rest as { index?: { name: string }; foreignKey?: { name: string } }
  const one = named.index?.name ?? named.foreignKey?.name ?? rest.column
  const renamed = 'from' in rest && typeof rest.from === 'string' ? `${rest.from}>${rest.to}` : ''
  return [type, rest.table, one, renamed].filter(Boolean).join(' ')
}

const column = (name: string, state: ColumnState, table = city): TableState => ({
  ...table,
  columns: { ...table.columns, [name]: state },
})

t.test('nothing to do', async (t) => {
  const said: TableState = {
    foreignKeys: [
      {
        name: 'city_country_fkey',
        columns: ['country'],
        table: 'country',
        references: ['code'],
        onDelete: 'restrict',
        onUpdate: 'restrict',
      },
    ],
    indexes: [{ columns: ['country'], name: 'city_country_idx' }],
    unique: [],
    primaryKey: ['id'],
    columns: {
      country: { type: 'char(2)', default: undefined } as unknown as ColumnState,
      name: { type: 'varchar(80)' },
      id: { generated: true, type: 'integer' },
    },
  }
  t.strictSame(diff(WORLD, WORLD), [])
  t.strictSame(diff(WORLD, { country, city: said }), [], 'in other words and another order')
  t.strictSame(diff({}, {}), [])
})

t.test('tables: those that are referred to first, the last ones first when they go', async (t) => {
  t.strictSame(brief(t, {}, WORLD), ['createTable country', 'createTable city'])
  t.strictSame(brief(t, WORLD, {}), ['dropTable city', 'dropTable country'])
})

t.test('a circle of foreign keys is closed afterwards, and opened before', async (t) => {
  const capital: TableState = {
    ...column('capital', { type: 'integer', nullable: true }, country),
    indexes: [{ name: 'country_capital_idx', columns: ['capital'] }],
    foreignKeys: [
      { name: 'country_capital_fkey', columns: ['capital'], table: 'city', references: ['id'] },
    ],
  }
  const circle = { city, country: capital }
  t.strictSame(brief(t, {}, circle), [
    'createTable country',
    'createTable city',
    'addForeignKey country country_capital_fkey',
  ])
  t.strictSame(brief(t, circle, {}), [
    'dropForeignKey country country_capital_fkey',
    'dropTable city',
    'dropTable country',
  ])
  t.strictSame(brief(t, WORLD, circle), [
    'addColumn country capital',
    'addIndex country country_capital_idx',
    'addForeignKey country country_capital_fkey',
  ])
})

t.test('a table that refers to itself', async (t) => {
  const person: TableState = {
    columns: { id: { type: 'uuid' }, boss: { type: 'uuid', nullable: true } },
    primaryKey: ['id'],
    indexes: [{ name: 'person_boss_idx', columns: ['boss'] }],
    foreignKeys: [
      { name: 'person_boss_fkey', columns: ['boss'], table: 'person', references: ['id'] },
    ],
  }
  t.strictSame(brief(t, {}, { person }), ['createTable person'])
  t.strictSame(brief(t, { person }, {}), ['dropTable person'])
})

t.test('a column that goes loses its indexes and foreign keys before', async (t) => {
  const { country: _, ...columns } = city.columns
  const alone = { columns, primaryKey: ['id'] }
  t.strictSame(brief(t, WORLD, { city: alone, country }), [
    'dropForeignKey city city_country_fkey',
    'dropIndex city city_country_idx',
    'dropColumn city country',
  ])
})

t.test('columns that a foreign key joins get another type without it', async (t) => {
  const longer = {
    city: column('country', { type: 'char(3)' }),
    country: column('code', { type: 'char(3)' }, country),
  }
  t.strictSame(brief(t, WORLD, longer), [
    'dropForeignKey city city_country_fkey',
    'alterColumn city country',
    'alterColumn country code',
    'addForeignKey city city_country_fkey',
  ])
  const byDefault = { country, city: column('country', { type: 'char(2)', default: 'FR' }) }
  t.strictSame(
    brief(t, WORLD, byDefault),
    ['alterColumn city country'],
    'another default needs none',
  )
})

t.test('a foreign key with other actions is made anew', async (t) => {
  const [key] = city.foreignKeys ?? []
  const cascade = { ...city, foreignKeys: [{ ...key, onDelete: 'cascade' as const }] } as TableState
  t.strictSame(brief(t, WORLD, { country, city: cascade }), [
    'dropForeignKey city city_country_fkey',
    'addForeignKey city city_country_fkey',
  ])
})

t.test('an index that a foreign key needs goes when there is another', async (t) => {
  const columns = ['country', 'name']
  const wider = (name: string) => ({ country, city: { ...city, indexes: [{ name, columns }] } })
  t.strictSame(brief(t, WORLD, wider('city_country_name_idx')), [
    'addIndex city city_country_name_idx',
    'dropIndex city city_country_idx',
  ])
  t.strictSame(
    brief(t, WORLD, wider('city_country_idx')),
    [
      'dropForeignKey city city_country_fkey',
      'dropIndex city city_country_idx',
      'addIndex city city_country_idx',
      'addForeignKey city city_country_fkey',
    ],
    'or without the foreign key, where the name is taken',
  )
})

t.test('a unique index that a foreign key refers to is replaced in the same way', async (t) => {
  const named = (...unique: [name: string, ...columns: string[]][]): SchemaState => ({
    country: {
      ...column('iso', { type: 'char(2)' }, country),
      unique: unique.map(([name, ...columns]) => ({ name, columns })),
    },
    city: {
      ...city,
      foreignKeys: [
        { name: 'city_country_fkey', columns: ['country'], table: 'country', references: ['iso'] },
      ],
    },
  })
  t.strictSame(brief(t, named(['a', 'iso']), named(['b', 'iso'])), [
    'addUnique country b',
    'dropUnique country a',
  ])
  t.strictSame(
    brief(t, named(['a', 'iso'], ['b', 'iso', 'name']), named(['b', 'iso'], ['a', 'iso', 'name'])),
    [
      'dropForeignKey city city_country_fkey',
      'dropUnique country a',
      'dropUnique country b',
      'addUnique country a',
      'addUnique country b',
      'addForeignKey city city_country_fkey',
    ],
  )
})

t.test('what shrinks comes before what grows: both are in one index', async (t) => {
  const note = (a: number, b: number): SchemaState => ({
    note: {
      columns: { id: { type: 'uuid' }, a: { type: `varchar(${a})` }, b: { type: `varchar(${b})` } },
      primaryKey: ['id'],
      indexes: [{ name: 'note_a_b_idx', columns: ['a', 'b'] }],
    },
  })
  t.strictSame(brief(t, note(10, 700), note(700, 10)), ['alterColumn note b', 'alterColumn note a'])
  t.strictSame(brief(t, note(700, 10), note(10, 700)), ['alterColumn note a', 'alterColumn note b'])
})

t.test('a table that is renamed keeps its indexes, under the names that they have', async (t) => {
  const [key] = city.foreignKeys ?? []
  const town = {
    ...city,
    indexes: [{ name: indexName('town', ['country']), columns: ['country'] }],
    foreignKeys: [{ ...key, name: foreignKeyName('town', ['country']) }],
  } as TableState
  const renames = { tables: { city: 'town' } }
  t.strictSame(brief(t, WORLD, { country, town }, renames), ['renameTable city>town'])
  t.strictSame(
    brief(t, WORLD, { country, town, city }, renames),
    [
      'renameTable city>town',
      'dropForeignKey town city_country_fkey',
      'addIndex town town_country_idx',
      'dropIndex town city_country_idx',
      'createTable city',
      'addForeignKey town town_country_fkey',
    ],
    'unless another needs those names',
  )
})

t.test('a name that somebody gave is a difference', async (t) => {
  const given = { ...city, indexes: [{ name: 'by_country', columns: ['country'] }] }
  t.strictSame(brief(t, WORLD, { country, city: given }), [
    'addIndex city by_country',
    'dropIndex city city_country_idx',
  ])
})

t.test('columns that are renamed, in a table that is, too', async (t) => {
  const { name, ...columns } = city.columns
  const [key] = city.foreignKeys ?? []
  const town: TableState = { ...city, columns: { ...columns, label: name as ColumnState } }
  const renames = { tables: { city: 'town' }, columns: { 'city.name': 'label' } }
  t.strictSame(brief(t, WORLD, { country, town }, renames), [
    'renameTable city>town',
    'renameColumn town name>label',
  ])
  const land: TableState = { columns: { iso: { type: 'char(2)' } }, primaryKey: ['iso'] }
  const ofLand = { ...city, foreignKeys: [{ ...key, table: 'land', references: ['iso'] }] }
  t.strictSame(
    brief(
      t,
      { city, country: { columns: { code: { type: 'char(2)' } }, primaryKey: ['code'] } },
      {
        land,
        city: ofLand as TableState,
      },
      { tables: { country: 'land' }, columns: { 'country.code': 'iso' } },
    ),
    ['renameTable country>land', 'renameColumn land code>iso'],
    'a primary key that is referred to',
  )
})

t.test('two indexes on the same columns are two', async (t) => {
  const twice = {
    ...city,
    indexes: [...(city.indexes ?? []), { name: 'by_country', columns: ['country'] }],
    unique: [{ name: uniqueName('city', ['country']), columns: ['country'] }],
  }
  t.strictSame(brief(t, WORLD, { country, city: twice }), [
    'addUnique city city_country_key',
    'addIndex city by_country',
  ])
  t.strictSame(brief(t, { country, city: twice }, WORLD), [
    'dropUnique city city_country_key',
    'dropIndex city by_country',
  ])
})

t.test('another primary key: refused', async (t) => {
  t.throws(() => diff({ country }, { country: { ...country, primaryKey: ['name'] } }), {
    code: 'MIGRATION_UNSUPPORTED',
    message:
      /^No operation changes the primary key of country from \(code\) to \(name\); .*--empty/,
  })
})

t.test('thousands of random pairs: there, back, and nothing left to do', async (t) => {
  const types = new Set<string>()
  for (let seed = 1; seed <= 2500; seed++) {
    const random = seeded(seed)
    const a = mutateSchema(random, randomSchema(random))
    const b = seed % 2 ? mutateSchema(random, a) : randomSchema(random)
    const operations = diff(a, b)
    for (const { type } of operations) types.add(type)
    const back = reverseAll(operations) as Operation[]
    const there = normalSchema(replayStrictly(operations, a))
    const again = normalSchema(replayStrictly(back, b))
    const fromNothing = normalSchema(replayStrictly(diff({}, b), {}))
    const problem = [
      JSON.stringify(diff(there, b)) === '[]' ? '' : 'something is left to do',
      isDeepStrictEqual(there, normalSchema(b)) ? '' : 'not there',
      isDeepStrictEqual(again, normalSchema(a)) ? '' : 'not back',
      isDeepStrictEqual(fromNothing, normalSchema(b)) ? '' : 'not from nothing',
    ].filter(Boolean)
    if (problem.length > 0) t.fail(`seed ${seed}: ${problem.join(', ')}`)
  }
  t.strictSame([...types].sort(), [
    'addColumn',
    'addForeignKey',
    'addIndex',
    'addUnique',
    'alterColumn',
    'createTable',
    'dropColumn',
    'dropForeignKey',
    'dropIndex',
    'dropTable',
    'dropUnique',
  ])
})

t.test('the same for every order in which models are named', async (t) => {
  const reversed = Object.fromEntries(Object.entries(WORLD).toReversed())
  t.strictSame(diff({}, reversed), diff({}, WORLD))
  t.strictSame(replayAll(diff({}, reversed)), WORLD)
})
