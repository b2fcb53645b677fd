import t from 'tap'
import * as m from '../../../../src/database/migration/index.ts'
import {
  compileOperations,
  definitionOf,
  describe,
  replay,
  reverse,
} from '../../../../src/database/migration/operations/index.ts'
import type { Operation } from '../../../../src/database/migration/operations/operation.ts'
import { normalSchema, type SchemaState } from '../../../../src/database/schema/state.ts'

const city: SchemaState[string] = {
  columns: {
    n: { type: 'integer' },
    kind: { type: 'varchar(8)', values: ['town'], default: 'town' },
    country: { type: 'char(2)', nullable: true },
  },
  primaryKey: ['n'],
  indexes: [{ name: 'city_country_idx', columns: ['country'] }],
  unique: [{ name: 'city_kind_key', columns: ['kind'] }],
  foreignKeys: [
    { name: 'city_n_fkey', columns: ['n'], table: 'land', references: ['n'], onDelete: 'cascade' },
  ],
}
const land: SchemaState[string] = { columns: { n: { type: 'integer' } }, primaryKey: ['n'] }
const BEFORE: SchemaState = { city, land }

// Each that there is, and how it is told.
const EACH: Readonly<Record<Operation['type'], readonly [Operation, string]>> = {
  createTable: [m.createTable('new', land), '+ table new'],
  dropTable: [m.dropTable('city', city), '- table city'],
  renameTable: [m.renameTable('land', 'country'), '> table land to country'],
  addColumn: [
    m.addColumn('city', 'size', { type: 'decimal(4,1)' }, { fill: '1.5' }),
    '+ column city.size decimal(4,1)',
  ],
  dropColumn: [m.dropColumn('land', 'm', { type: 'integer', nullable: true }), '- column land.m'],
  alterColumn: [
    m.alterColumn('city', 'country', {
      from: { type: 'char(2)', nullable: true },
      to: { type: 'char(3)' },
      fill: 'ZZZ',
    }),
    '~ column city.country char(2) null to char(3)',
  ],
  renameColumn: [m.renameColumn('land', 'n', 'id'), '> column land.n to land.id'],
  addIndex: [
    m.addIndex('city', { name: 'city_kind_idx', columns: ['kind', 'n'] }),
    '+ index city(kind, n)',
  ],
  dropIndex: [
    m.dropIndex('city', { name: 'city_country_idx', columns: ['country'] }),
    '- index city(country)',
  ],
  addUnique: [m.addUnique('land', { name: 'land_n_key', columns: ['n'] }), '+ unique land(n)'],
  dropUnique: [
    m.dropUnique('city', { name: 'city_kind_key', columns: ['kind'] }),
    '- unique city(kind)',
  ],
  addForeignKey: [
    m.addForeignKey('land', { name: 'l', columns: ['n'], table: 'city', references: ['n'] }),
    '+ foreign key land(n) to city(n)',
  ],
  dropForeignKey: [
    m.dropForeignKey('city', city.foreignKeys?.[0] as never),
    '- foreign key city(n) to land(n) on delete cascade',
  ],
  runSql: [m.runSql({ up: ['select 1'], down: [] }), '* step in SQL'],
  runData: [m.runData({ up: async () => {}, down: async () => {} }), '* step in code'],
}

const MAKERS: Readonly<Record<string, unknown>> = { ...m }

/** The schema that it is done to. */
const before = ({ type }: Operation): SchemaState =>
  type === 'dropColumn'
    ? {
        ...BEFORE,
        land: { ...land, columns: { ...land.columns, m: { type: 'integer', nullable: true } } },
      }
    : BEFORE

for (const [type, [operation, line]] of Object.entries(EACH)) {
  t.test(type, async (t) => {
    t.equal(operation.type, type)
    t.equal(describe(operation), line)
    const after = replay(before(operation), operation)
    const back = reverse(operation) as Operation
    const again = normalSchema(replay(after, back))
    t.strictSame(again, normalSchema(before(operation)), 'taken back, all is as before')
    t.strictSame(reverse(back), operation, 'and so is the way back')
    for (const dialect of ['mysql', 'sqlite'] as const)
      t.ok(compileOperations([operation], before(operation), dialect).length > 0, dialect)

    const { render, fileName } = definitionOf(operation)
    t.equal(render === undefined, type === 'runData', 'code cannot be printed')
    const make = MAKERS[type] as (...args: unknown[]) => Operation
    // What a definition refers to is a call of its own in a file; here it is that operation itself.
    const args = render?.(operation, (other) => other)
    if (args) t.strictSame(make(...args), operation, 'its call in a file makes it')
    t.equal(fileName === undefined, type.startsWith('run'), 'steps by hand are named by hand')
    if (fileName) t.match(fileName(operation), /^(create|add|drop|change|rename)_\w+$/)
  })
}
