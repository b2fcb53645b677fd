// What is applied while processes are killed, as text: each is the operations of one migration.

const ROWS = Array.from({ length: 500 }, (_, i) => ({ n: i, note: `row ${i}` }))
const CITY = `m.createTable('city', { columns: { n: { type: 'integer' }, note: { type: 'varchar(40)' } }, primaryKey: ['n'] })`
const INSERT = `m.runData({ up: (db) => db.insertInto('city').values(${JSON.stringify(ROWS)}).execute(), down: (db) => db.deleteFrom('city').execute() })`
const raise = (sign: string) =>
  `(db) => db.updateTable('city').set(({ eb }) => ({ n: eb('n', '${sign}', 1000) })).execute()`
const STEPS = [
  CITY,
  INSERT,
  `m.addColumn('city', 'kind', { type: 'varchar(8)', values: ['town', 'city'], default: 'city' })`,
  `m.addIndex('city', { name: 'city_note_idx', columns: ['note'] })`,
  `m.runData({ up: ${raise('+')}, down: ${raise('-')} })`,
  `m.renameColumn('city', 'note', 'name')`,
  `m.createTable('visit', { columns: { n: { type: 'integer' } }, primaryKey: ['n'] })`,
  `m.addForeignKey('visit', { name: 'visit_n_fkey', columns: ['n'], table: 'city', references: ['n'] })`,
  `m.alterColumn('city', 'name', { from: { type: 'varchar(40)' }, to: { type: 'varchar(80)', nullable: true } })`,
  `m.renameTable('visit', 'stay')`,
]

/** A single migration of ten steps. */
export const TEN = [STEPS.join(', ')]

const VISIT = `{ columns: { n: { type: 'integer' } }, primaryKey: ['n'] }`
const visits = Array.from({ length: 30 }, (_, i) => `visit${i}`)
/** Many migrations of one step each. */
export const MANY = [
  CITY,
  INSERT,
  ...visits.map((table) => `m.createTable('${table}', ${VISIT})`),
  `m.renameColumn('city', 'note', 'name')`,
  ...visits.map((table, i) => changeVisit(table, i % 5)),
]

function changeVisit(table: string, way: number): string {
  const key = `{ name: '${table}_n_fkey', columns: ['n'], table: 'city', references: ['n'] }`
  const ways = [
    `m.renameTable('${table}', '${table}_renamed')`,
    `m.addForeignKey('${table}', ${key})`,
    `m.addColumn('${table}', 'kind', { type: 'varchar(8)', default: 'city' })`,
    `m.dropTable('${table}', ${VISIT})`,
    `m.addIndex('${table}', { name: '${table}_n_idx', columns: ['n'] })`,
  ]
  return ways[way] as string
}
