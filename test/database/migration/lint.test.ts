import t from 'tap'
import { diff } from '../../../src/database/migration/autodetector.ts'
import {
  addColumn,
  addForeignKey,
  addIndex,
  addUnique,
  alterColumn,
  createTable,
  defineMigration,
  dropColumn,
  dropForeignKey,
  dropIndex,
  dropTable,
  dropUnique,
  renameColumn,
  renameTable,
  runData,
  runSql,
} from '../../../src/database/migration/index.ts'
import { lintMigration, lintMigrations, rules } from '../../../src/database/migration/lint.ts'
import type { Operation } from '../../../src/database/migration/operations/operation.ts'
import type { ColumnState, SchemaState } from '../../../src/database/schema/state.ts'
import { fits, isInPlace, type PortableType } from '../../../src/database/schema/types.ts'
import { randomSchema, seeded } from '../../helpers/random-schema.ts'

const id: ColumnState = { type: 'integer', generated: true }
const city = { columns: { id, size: { type: 'integer' } }, primaryKey: ['id'] } as const
const BEFORE: SchemaState = { city }
const index = { name: 'city_size_idx', columns: ['size'] }
const foreignKey = { name: 'city_size_fkey', columns: ['size'], table: 'city', references: ['id'] }

/** Codes and places of what is found. */
function lint(operations: Operation[], accept: string[] = []): string[] {
  const findings = lintMigration(defineMigration(operations, { accept }), BEFORE)
  return findings.map(({ code, place }) => `${code} ${place}`)
}

t.test('what does harm to the release before', async (t) => {
  const cases: [Operation, ...string[]][] = [
    [dropTable('city', city), 'drop-table city'],
    [dropColumn('city', 'size', { type: 'integer' }), 'drop-column city.size'],
    [renameTable('city', 'town'), 'rename-table city'],
    [renameColumn('city', 'size', 'people'), 'rename-column city.size'],
    [addColumn('city', 'kind', { type: 'text' }), 'not-null-without-default city.kind'],
    [addUnique('city', index), 'add-unique city_size_idx'],
    [addIndex('city', index), 'add-index city_size_idx'],
    [addForeignKey('city', foreignKey), 'add-foreign-key city_size_fkey'],
    [runSql({ up: 'select 1', down: 'select 1' }), 'raw-sql step 1'],
    [runSql({ up: 'select 1' }), 'raw-sql step 1', 'irreversible step 1'],
    [runData({ up: async () => {} }), 'irreversible step 1'],
  ]
  for (const [operation, ...expected] of cases) t.strictSame(lint([operation]), expected)
})

t.test('what does none', async (t) => {
  const harmless = [
    addColumn('city', 'a', { type: 'text', nullable: true }),
    addColumn('city', 'b', { type: 'integer', default: 0 }),
    dropIndex('city', index),
    dropUnique('city', index),
    dropForeignKey('city', foreignKey),
    runData({ up: async () => {}, down: async () => {} }),
    createTable('visit', { ...city, foreignKeys: [foreignKey] }),
  ]
  t.strictSame(lint(harmless), [])
})

t.test('columns that change', async (t) => {
  const change = (from: ColumnState, to: ColumnState) =>
    lint([alterColumn('city', 'size', { from, to })]).map((one) => one.split(' ')[0])
  const text = (n: number): ColumnState => ({ type: `varchar(${n})` })
  const values = (...all: string[]): ColumnState => ({ type: 'varchar(8)', values: all })
  t.strictSame(change(text(8), text(60)), [])
  t.strictSame(change(text(64), text(255)), [])
  t.strictSame(change(text(60), text(64)), ['change-type'], 'MySQL needs another byte')
  t.strictSame(change(text(60), text(8)), ['narrow-type'])
  t.strictSame(change({ type: 'integer' }, { type: 'bigint' }), ['change-type'])
  t.strictSame(change({ type: 'bigint' }, { type: 'integer' }), ['narrow-type'])
  t.strictSame(change(values('a', 'b'), values('a')), ['narrow-type'])
  t.strictSame(change(values('a'), values('b', 'a')), ['add-check'])
  t.strictSame(lint([addColumn('city', 'kind', { ...values('a'), nullable: true })]), [
    'add-check city.kind',
  ])
  t.strictSame(change(text(8), values('a')), ['narrow-type'])
  t.strictSame(change(values('a'), text(8)), [])
  const nullable: ColumnState = { type: 'date', nullable: true }
  t.strictSame(change(nullable, { type: 'date' }), ['not-null-without-default'])
  t.strictSame(change(nullable, { type: 'date', default: '2026-01-01' }), ['narrow-type'])
  t.strictSame(change({ type: 'date' }, nullable), [])
  t.strictSame(
    change({ type: 'date', default: '2026-01-01' }, { type: 'date' }),
    ['not-null-without-default'],
    'the release before may count on the default',
  )
  t.strictSame(change({ type: 'date' }, { type: 'date', default: '2026-01-01' }), [])
  t.strictSame(change({ type: 'bigint', nullable: true }, { type: 'integer' }), [
    'not-null-without-default',
    'narrow-type',
  ])
  const own: ColumnState = { type: { mysql: 'mediumint', sqlite: 'integer' } }
  t.strictSame(change(own, { type: 'integer' }), ['change-type'])
  t.strictSame(change(own, own), [])
})

t.test('which types hold the values of which', async (t) => {
  const pairs: [PortableType, PortableType, boolean][] = [
    ['tinyint', 'smallint', true],
    ['smallint', 'tinyint', false],
    ['boolean', 'integer', true],
    ['integer', 'double', true],
    ['bigint', 'double', false],
    ['double', 'bigint', false],
    ['decimal(10,2)', 'double', true],
    ['integer', 'decimal(12,2)', true],
    ['integer', 'decimal(10,2)', false],
    ['decimal(10,2)', 'decimal(12,2)', true],
    ['decimal(10,2)', 'decimal(12,4)', true],
    ['decimal(10,2)', 'decimal(10,4)', false],
    ['decimal(10,2)', 'decimal(10,1)', false],
    ['decimal(10,2)', 'varchar(12)', true],
    ['uuid', 'char(36)', true],
    ['uuid', 'varchar(35)', false],
    ['varchar(36)', 'uuid', false],
    ['varchar(9)', 'text', true],
    ['text', 'varchar(9)', false],
    ['json', 'text', true],
    ['text', 'json', false],
    ['blob', 'text', false],
    ['date', 'datetime', true],
    ['datetime', 'date', false],
    ['time', 'datetime', false],
    ['date', 'varchar(10)', true],
    ['integer', 'date', false],
    ['integer', 'varchar(11)', true],
    ['integer', 'varchar(10)', false],
    ['blob', 'blob', true],
  ]
  for (const [from, to, expected] of pairs) t.equal(fits(from, to), expected, `${from} in ${to}`)
  t.notOk(isInPlace('char(2)', 'char(3)'))
})

t.test('a table of the same migration has no users', async (t) => {
  t.strictSame(
    lint([
      createTable('visit', city),
      addIndex('visit', index),
      addForeignKey('visit', foreignKey),
      addColumn('visit', 'kind', { type: 'text' }),
      renameTable('visit', 'trip'),
      dropColumn('trip', 'kind', { type: 'text' }),
      dropTable('trip', city),
      renameTable('city', 'town'),
      dropColumn('town', 'size', { type: 'integer' }),
    ]),
    ['rename-table city', 'drop-column town.size'],
    'and one that is renamed keeps those that it has',
  )
  t.strictSame(
    lint([dropTable('city', city), createTable('city', city), addIndex('city', index)]),
    ['drop-table city'],
  )
  for (let seed = 1; seed < 50; seed++) {
    const operations = diff({}, randomSchema(seeded(seed)))
    t.strictSame(lintMigration({ operations, accept: [] }, {}), [])
  }
})

t.test('accepted codes are silent, and those that there are not a finding', async (t) => {
  const drop = dropColumn('city', 'size', { type: 'integer' })
  t.strictSame(lint([drop, addIndex('city', index)], ['drop-column']), ['add-index city_size_idx'])
  t.strictSame(lint([drop], ['drop-colum']), ['drop-column city.size', 'unknown-code drop-colum'])
})

t.test('each finding says what is wrong and what to do instead', async (t) => {
  const [finding] = lintMigration(defineMigration([renameTable('city', 'town')]), BEFORE)
  t.strictSame(finding, {
    code: 'rename-table',
    place: 'city',
    problem:
      'The release that is running knows the table by its old name only. It is INSTANT on MySQL 8, and INSTANT on MariaDB.',
    remedy:
      'Create the new table beside it, write to both and copy the rows with runData. Drop the old one in a later release.',
    algorithms: { mysql: 'INSTANT', mariadb: 'INSTANT' },
  })
  for (const [code, { problem, remedy }] of Object.entries(rules)) {
    for (const text of [problem, remedy]) t.match(text, /^[A-Zm].*\.$/, code)
  }
})

t.test('a folder of migrations: each after those before it', async (t) => {
  const migrations = [
    { name: 'a', ...defineMigration([createTable('city', city), addIndex('city', index)]) },
    { name: 'b', ...defineMigration([dropIndex('city', index)]) },
    { name: 'c', ...defineMigration([addIndex('city', index)]) },
  ]
  const found = (wanted: string) =>
    lintMigrations(migrations, ({ name }) => wanted.includes(name)).map(
      ([{ name }, { code }]) => `${name} ${code}`,
    )
  t.strictSame(found('abc'), ['c add-index'])
  t.strictSame(found('ab'), [])
})
