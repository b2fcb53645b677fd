import t from 'tap'
import { compileOperations } from '../../../src/database/migration/compile.ts'
import * as m from '../../../src/database/migration/index.ts'
import {
  type CompiledStep,
  type Operation,
  replayAll,
} from '../../../src/database/migration/operations/index.ts'
import { windowOf } from '../../../src/database/migration/run-with-journal.ts'
import type { Task } from '../../../src/database/migration/task.ts'
import type { SchemaState } from '../../../src/database/schema/state.ts'

const table: SchemaState[string] = {
  columns: { n: { type: 'integer' }, kind: { type: 'varchar(8)', nullable: true } },
  primaryKey: ['n'],
}
const key = { name: 'b_n_fkey', columns: ['n'], table: 'a', references: ['n'] }
const before: SchemaState = Object.fromEntries(['a', 'b', 'c'].map((name) => [name, table]))
const create = (...names: string[]) => names.map((name) => m.createTable(name, table))
const index = (name: string) => m.addIndex(name, { name: `${name}_kind_idx`, columns: ['kind'] })

const task = (name: string, steps: readonly CompiledStep[]): Task => ({
  name,
  checksum: '',
  direction: 'up',
  steps,
  ends: [steps.length],
})

/** The names, from 1, of the tasks that make the first window of migrations of these operations. */
function names(...migrations: (readonly Operation[])[]): string[] {
  let state = before
  const tasks = migrations.map((operations, i) => {
    const steps = compileOperations(operations, state, 'mysql')
    state = replayAll(operations, state)
    return task(`${i + 1}`, steps)
  })
  return windowOf(tasks).map(({ name }) => name)
}

t.test('takes what changes a table each', async (t) => {
  t.strictSame(names(create('x'), create('y', 'z'), [index('a')]), ['1', '2', '3'])
})

t.test('a statement by itself has no window', async (t) => {
  t.strictSame(names(create('x')), [])
  t.strictSame(names(create('x'), [index('x')]), [])
  t.strictSame(windowOf([]), [])
})

t.test('ends before a table is changed again, by whatever name', async (t) => {
  t.strictSame(names(create('x'), [index('a')], [index('x')]), ['1', '2'])
  t.strictSame(names(create('x'), [index('a')], create('X')), ['1', '2'])
  t.strictSame(names([m.renameTable('a', 'x')], [index('b')], create('a')), ['1', '2'])
  t.strictSame(names([index('a')], [index('b')], [m.renameTable('b', 'x')]), ['1', '2'])
  t.strictSame(names([m.renameTable('a', 'A')], [index('b')]), [])
  t.strictSame(names([...create('x'), index('x')], [index('a')]), [], 'within one migration')
})

t.test('a foreign key changes its own table alone', async (t) => {
  t.strictSame(names([m.addForeignKey('b', key)], [index('a')], create('x')), ['1', '2', '3'])
  t.strictSame(names([m.addForeignKey('b', key)], create('x'), [index('b')]), ['1', '2'])
})

t.test('ends before what the database cannot tell', async (t) => {
  const [from, to] = [{ type: 'integer' }, { type: 'bigint' }] as const
  const others: Record<string, Operation> = {
    runSql: m.runSql({ up: 'drop view v' }),
    runData: m.runData({ up: async () => {} }),
    alterColumn: m.alterColumn('c', 'n', { from, to }),
  }
  for (const [name, operation] of Object.entries(others)) {
    t.strictSame(names(create('x', 'y'), [operation], create('z')), ['1'], name)
    t.strictSame(names([operation], create('x', 'y')), [], name)
  }
  t.strictSame(names(create('x', 'y'), [], create('z')), ['1'], 'nothing at all')
})

t.test('takes nothing back', async (t) => {
  const down = compileOperations(create('x', 'y'), before, 'mysql')
  t.strictSame(windowOf([{ ...task('1', down), direction: 'down' }]), [])
})

t.test('changes 100 tables at most', async (t) => {
  const many = Array.from({ length: 130 }, (_, i) => create(`x${i}`))
  t.equal(names(...many).length, 100)
})
