import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createMigrator, type MigrationEvent } from '../src/database/migrator.ts'
import { readSchema } from '../src/database/schema/read.ts'
import { seeded } from '../test/helpers/random-schema.ts'
import type { Order } from './migrate-child.ts'
import { type AnyDatabase, withDatabase, writeMigrations } from './migrations.ts'
import { assertSame, type Proof, type ProofOptions } from './proof.ts'

export const proof: Proof = {
  summary: 'A migration of ten statements that is killed at any moment is finished by the next run',
  drivers: ['mysql', 'sqlite'],
  size: { full: 100, short: 2 },
  prove,
}

const ROWS = Array.from({ length: 500 }, (_, i) => ({ n: i, note: `row ${i}` }))
const OPERATIONS = `
  m.createTable('city', { columns: { n: { type: 'integer' }, note: { type: 'varchar(40)' } }, primaryKey: ['n'] }),
  m.runData({ up: (db) => db.insertInto('city').values(${JSON.stringify(ROWS)}).execute() }),
  m.addColumn('city', 'kind', { type: 'varchar(8)', values: ['town', 'city'], default: 'city' }),
  m.addIndex('city', { name: 'city_note_idx', columns: ['note'] }),
  m.runData({ up: (db) => db.updateTable('city').set(({ eb }) => ({ n: eb('n', '+', 1000) })).execute() }),
  m.renameColumn('city', 'note', 'name'),
  m.createTable('visit', { columns: { n: { type: 'integer' } }, primaryKey: ['n'] }),
  m.addForeignKey('visit', { name: 'visit_n_fkey', columns: ['n'], table: 'city', references: ['n'] }),
  m.alterColumn('city', 'name', { from: { type: 'varchar(40)' }, to: { type: 'varchar(80)', nullable: true } }),
  m.renameTable('visit', 'stay'),
`

async function prove(options: ProofOptions): Promise<Record<string, number>> {
  const directory = join(options.folder, 'migrations')
  writeMigrations(directory, { '0001_ten': OPERATIONS })
  const whole = await migrateWhole(options, directory)
  const random = seeded(options.seed)
  const counts = { kills: 0, 'not begun': 0, resumed: 0, 'finished before': 0, 'by hand': 0 }
  while (counts.kills < options.size) {
    const url = await options.createDatabase()
    // A little longer than it takes: the end is a moment, too.
    await killAfter(random() * whole.duration * 1.1, { url, directory })
    counts[await finish(url, directory, whole.outcome)] += 1
    counts.kills += 1
    options.tell(counts.kills)
  }
  return counts
}

interface Outcome {
  schema: unknown
  rows: unknown
}

async function migrateWhole({ createDatabase }: ProofOptions, directory: string) {
  const url = await createDatabase()
  // As the killed ones do it: in a process that has just been started.
  const duration = await killAfter(Number.POSITIVE_INFINITY, { url, directory })
  return { duration, outcome: await withDatabase(url, outcomeOf) }
}

async function outcomeOf(db: AnyDatabase): Promise<Outcome> {
  const { schema } = await readSchema(db)
  const rows = await db.selectFrom('city').selectAll().orderBy('n').execute()
  return { schema, rows }
}

/**
 * Lets a process migrate, and kills it some time after it has begun.
 *
 * @returns milliseconds that it was at it
 */
async function killAfter(milliseconds: number, order: Order): Promise<number> {
  const child = fork(join(import.meta.dirname, 'migrate-child.ts'))
  await once(child, 'message')
  child.send(order)
  await once(child, 'message')
  const began = performance.now()
  const exited = once(child, 'exit')
  const answered = once(child, 'message').catch(() => {})
  const finite = Number.isFinite(milliseconds)
  await (finite ? Promise.race([sleep(milliseconds), answered]) : answered)
  const duration = performance.now() - began
  child.kill('SIGKILL')
  await exited
  return duration
}

/** Runs it again as an operator would, and compares what has become of the database. */
async function finish(url: string, directory: string, wanted: Outcome) {
  return await withDatabase(url, async (db) => {
    const events: MigrationEvent[] = []
    const migrator = createMigrator({ db, directory })
    const results = await migrator.migrate({ on: (event) => events.push(event) })
    assertSame(await outcomeOf(db), wanted, 'the database after the next run')
    assertSame(await migrator.pending(), [], 'what is pending after it')
    if (results.length === 0) return 'finished before'
    return events.some(({ type }) => type === 'resume') ? 'resumed' : 'not begun'
  })
}
