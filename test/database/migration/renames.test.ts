import t from 'tap'
import { diff } from '../../../src/database/migration/autodetector.ts'
import { replayAll } from '../../../src/database/migration/operations/index.ts'
import { addRename, findRenames, renameProblem } from '../../../src/database/migration/renames.ts'
import { normalSchema, type SchemaState } from '../../../src/database/schema/state.ts'

const BEFORE: SchemaState = {
  city: {
    columns: {
      id: { type: 'integer', generated: true },
      inhabitants: { type: 'integer' },
      name: { type: 'varchar(80)' },
      label: { type: 'varchar(80)' },
    },
    primaryKey: ['id'],
  },
  log: { columns: { id: { type: 'uuid' } }, primaryKey: ['id'] },
}
const { city, log } = BEFORE as { city: SchemaState[string]; log: SchemaState[string] }

function withColumns(columns: SchemaState[string]['columns']): SchemaState {
  return {
    log,
    city: { columns: { id: { type: 'integer', generated: true }, ...columns }, primaryKey: ['id'] },
  }
}

t.test('candidates: gone and new, and defined alike', async (t) => {
  t.strictSame(findRenames(BEFORE, BEFORE), [])
  t.strictSame(
    findRenames(
      BEFORE,
      withColumns({
        population: { type: 'integer' },
        title: { type: 'varchar(80)', nullable: true },
      }),
    ),
    [{ from: 'city.inhabitants', to: 'city.population' }],
  )
  t.strictSame(
    findRenames(
      BEFORE,
      withColumns({ inhabitants: { type: 'integer' }, title: { type: 'varchar(80)' } }),
    ),
    [
      { from: 'city.name', to: 'city.title' },
      { from: 'city.label', to: 'city.title' },
    ],
    'each pair that may be',
  )
  t.strictSame(findRenames(BEFORE, { town: city, log }), [{ from: 'city', to: 'town' }])
  t.strictSame(findRenames(BEFORE, { log }), [])
})

t.test('what is known to be renamed is no candidate any more', async (t) => {
  const to = withColumns({ inhabitants: { type: 'integer' }, title: { type: 'varchar(80)' } })
  t.strictSame(findRenames(BEFORE, to, { columns: { 'city.name': 'title' } }), [])
  const { city: town } = withColumns({ population: { type: 'integer' } })
  t.strictSame(
    findRenames(BEFORE, { log, town: town as SchemaState[string] }, { tables: { city: 'town' } }),
    [{ from: 'city.inhabitants', to: 'town.population' }],
    'a column is named by the old name of its table and the new one',
  )
})

t.test('a candidate that is taken leads to the wanted schema', async (t) => {
  const to = withColumns({ population: { type: 'integer' }, name: { type: 'varchar(80)' } })
  const renames = findRenames(BEFORE, to).reduce(addRename, {})
  const operations = diff(BEFORE, to, renames)
  t.strictSame(
    operations.map(({ type }) => type),
    ['renameColumn', 'dropColumn'],
  )
  t.strictSame(normalSchema(replayAll(operations, BEFORE)), normalSchema(to))
})

t.test('what is wrong with a rename', async (t) => {
  const to = withColumns({ population: { type: 'integer' }, name: { type: 'varchar(80)' } })
  const problem = (from: string, now: string, known = {}) =>
    renameProblem({ from, to: now }, BEFORE, to, known)
  t.equal(problem('city.inhabitants', 'city.population'), undefined)
  t.match(problem('city', 'city.population'), /a table and the other a column/)
  t.match(problem('city.people', 'city.population'), /city.people is not in the recorded schema/)
  t.match(problem('city.inhabitants', 'city.people'), /city.people is not in the models/)
  t.match(problem('city.inhabitants', 'log.id'), /belongs to the table city/)
  t.match(problem('city.name', 'city.population'), /the models still have city.name/)
  t.match(problem('city.label', 'city.name'), /has city.name already/)
  const known = { columns: { 'city.inhabitants': 'population' } }
  t.match(problem('city.label', 'city.population', known), /has city.population already/)
})
