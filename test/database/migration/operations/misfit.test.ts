import t from 'tap'
import {
  addColumn,
  createTable,
  dropColumn,
  dropTable,
  runData,
  runSql,
} from '../../../../src/database/migration/index.ts'
import { compileOperations } from '../../../../src/database/migration/operations/index.ts'
import type { Operation } from '../../../../src/database/migration/operations/operation.ts'
import type { SchemaState, TableState } from '../../../../src/database/schema/state.ts'

const integer = { type: 'integer' } as const
const city: TableState = {
  columns: { id: integer, code: integer, country: integer },
  primaryKey: ['id'],
  unique: [{ name: 'city_code_key', columns: ['code'] }],
  foreignKeys: [
    { name: 'city_country_fkey', columns: ['country'], table: 'country', references: ['id'] },
  ],
}
const country: TableState = {
  columns: { id: integer, note: integer },
  primaryKey: ['id'],
}
const before: SchemaState = { city, country }
const free: TableState = { ...country, columns: { ...country.columns, other: integer } }

const MISFITS: readonly (readonly [Operation, message: string])[] = [
  [
    dropTable('country', country),
    'city_country_fkey of city refers to it: drop that foreign key first',
  ],
  [dropColumn('city', 'id', integer), 'id is part of the primary key, which cannot be changed'],
  [dropColumn('city', 'code', integer), 'city_code_key is on code: drop it first'],
  [dropColumn('city', 'country', integer), 'city_country_fkey is on country: drop it first'],
  [
    addColumn('city', 'number', { type: 'integer', generated: true }),
    'city.number is generated: a table gets its generated column when it is created',
  ],
  [dropTable('nowhere', country), 'there is no table nowhere'],
  [createTable('city', city), 'there is a table city already'],
]

for (const dialect of ['sqlite', 'mysql'] as const) {
  t.test(`what does not fit is named with its place (${dialect})`, async (t) => {
    const fits = createTable('other', { columns: { id: integer }, primaryKey: ['id'] })
    for (const [operation, message] of MISFITS) {
      t.throws(() => compileOperations([operation], before, dialect), {
        message: `operation 1 (${operation.type}): ${message}`,
      })
      t.throws(() => compileOperations([fits, operation], before, dialect), {
        message: `operation 2 (${operation.type}): ${message}`,
      })
    }
  })

  t.test(`what fits after the operations before it is compiled (${dialect})`, async (t) => {
    const operations = [
      dropTable('city', city),
      addColumn('country', 'other', integer),
      dropTable('country', free),
    ]
    t.doesNotThrow(() => compileOperations(operations, before, dialect))
    t.throws(() => compileOperations(operations.toReversed(), before, dialect))
  })

  t.test(`a step by hand is what it says for the database (${dialect})`, async (t) => {
    const compiled = (step: Parameters<typeof runSql>[0]) =>
      compileOperations([runSql(step)], {}, dialect)
    t.strictSame(compiled({ up: 'a; b' }), [{ sql: 'a; b' }])
    t.strictSame(compiled({ up: ['a', 'b'] }), [{ sql: 'a' }, { sql: 'b' }])
    t.strictSame(compiled({ up: { mysql: ['mysql'], sqlite: ['sqlite'] } }), [{ sql: dialect }])
    const up = async () => {}
    t.strictSame(compileOperations([runData({ up })], {}, dialect), [{ data: up }])
  })

  t.test(`the state of a step by hand counts for what follows (${dialect})`, async (t) => {
    const create = createTable('country', country)
    const steps = [
      runSql({ up: 'create table country …', state: [create] }),
      dropColumn('country', 'note', integer),
    ]
    t.equal(compileOperations(steps, {}, dialect).length, 2)
  })
}
