import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Answer, Notice, Order } from './migrate-child.ts'
import { withDatabase, writeMigrations } from './migrations.ts'
import { assertSame, type Proof, type ProofOptions } from './proof.ts'

const PROCESSES = 20
/** In a single round, which is what `npm test` runs beside other tests. */
const FEW = 5
const MIGRATIONS = 30
/** Milliseconds that a round may take before it counts as hanging. */
const PATIENCE = 120_000

export const proof: Proof = {
  summary: `${PROCESSES} processes that migrate at once apply each of ${MIGRATIONS} migrations once, round by round`,
  drivers: ['sqlite', 'mysql'],
  size: { full: 50, short: 1 },
  prove,
}

async function prove(options: ProofOptions): Promise<Record<string, number>> {
  const directory = join(options.folder, 'migrations')
  const names = writeAll(directory)
  const processes = options.size > 1 ? PROCESSES : FEW
  const children = await startAll(processes)
  try {
    for (let round = 1; round <= options.size; round++) {
      await runRound({ url: await options.createDatabase(), directory }, children, names)
      options.tell(round)
    }
  } finally {
    for (const child of children) child.kill()
  }
  const { size: rounds } = options
  const applied = rounds * MIGRATIONS
  return { rounds, processes, applied, 'applied twice': 0, lost: 0, hung: 0 }
}

/** A table that counts, then by turns another table, and a row that tells when it is there twice. */
function writeAll(directory: string): string[] {
  const key = "primaryKey: ['n']"
  const column = "{ type: 'bigint', generated: true }"
  const count = `columns: { id: ${column}, n: { type: 'integer' } }, primaryKey: ['id']`
  const operations = Array.from({ length: MIGRATIONS }, (_, i) => {
    if (i === 0) return `m.createTable('run', { ${count} })`
    if (i % 2 === 0)
      return `m.createTable('t${i}', { columns: { n: { type: 'integer' } }, ${key} })`
    return `m.runData({ up: (db) => db.insertInto('run').values({ n: ${i} }).execute() })`
  })
  const named = operations.map((text, i) => [`${String(i + 1).padStart(4, '0')}_step`, text])
  writeMigrations(directory, Object.fromEntries(named))
  return named.map(([name]) => name as string)
}

async function startAll(count: number): Promise<ChildProcess[]> {
  const child = join(import.meta.dirname, 'migrate-child.ts')
  const children = Array.from({ length: count }, () => fork(child))
  await Promise.all(children.map((process) => once(process, 'message')))
  return children
}

async function runRound(order: Order, children: readonly ChildProcess[], names: readonly string[]) {
  const answers = await Promise.all(children.map((child) => ask(child, order)))
  const applied = answers.flatMap((answer) => {
    if ('failed' in answer) throw new Error(answer.failed)
    return answer.applied
  })
  assertSame(applied.sort(), names, 'what the processes have applied')
  await withDatabase(order.url, async (db) => {
    const records = await db.selectFrom('plinth_migration').select('name').orderBy('name').execute()
    assertSame(
      records.map(({ name }) => name),
      names,
      'what is recorded',
    )
    const rows = await db.selectFrom('run').select('n').orderBy('n').execute()
    const odd = Array.from({ length: MIGRATIONS / 2 }, (_, i) => 2 * i + 1)
    assertSame(
      rows.map(({ n }) => n),
      odd,
      'the rows that the migrations have written',
    )
  })
}

function ask(child: ChildProcess, order: Order): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('a process hangs')), PATIENCE)
    child.on('message', function take(message: Answer | Notice) {
      if (typeof message === 'string') return
      child.off('message', take)
      clearTimeout(timer)
      resolve(message)
    })
    child.send(order)
  })
}
