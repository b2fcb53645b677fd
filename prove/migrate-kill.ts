import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readSchema } from '../src/database/inspect/read-schema.ts'
import { createMigrator, type MigrationStatus } from '../src/database/migration/migrator.ts'
import { seeded } from '../test/helpers/random-schema.ts'
import type { Answer, Notice, Order } from './migrate-child.ts'
import { MANY, TEN } from './migrate-steps.ts'
import { type AnyDatabase, withDatabase, writeMigrations } from './migrations.ts'
import { assertSame, type Proof, type ProofOptions } from './proof.ts'

export const proof: Proof = {
  summary:
    'Migrations that are killed at any moment are finished by the next run: one of ten steps, many of one',
  drivers: ['mysql', 'sqlite'],
  size: { full: 100, short: 2 },
  prove,
}

async function prove(options: ProofOptions): Promise<Record<string, number>> {
  const sets = [await write(options, 'ten', TEN), await write(options, 'many', MANY)]
  const random = seeded(options.seed)
  const counts = { kills: 0, ...STATES, 'by hand': 0 }
  while (counts.kills < options.size) {
    const { directory, durations, outcome } = sets[counts.kills % sets.length] as MigrationSet
    const url = await options.createDatabase()
    // Most of them while statements run; a little longer than it takes: the end is a moment, too.
    const since = random() < 0.2 ? 'begun' : 'started'
    const { moments, kill } = start({ url, directory })
    await moments[since]
    await Promise.race([sleep(random() * durations[since] * 1.1), moments.ended])
    await kill()
    counts[await finish(url, directory, outcome)] += 1
    counts.kills += 1
    options.tell(counts.kills)
  }
  return counts
}

interface MigrationSet {
  directory: string
  /** Milliseconds that a process that has just been started takes from then on to the end. */
  durations: Record<Notice, number>
  outcome: Outcome
}

interface Outcome {
  schema: unknown
  rows: unknown
}

async function write(
  { folder, createDatabase }: ProofOptions,
  name: string,
  migrations: readonly string[],
): Promise<MigrationSet> {
  const directory = join(folder, name)
  const named = migrations.map((text, i) => [`${String(i + 1).padStart(4, '0')}_step`, text])
  writeMigrations(directory, Object.fromEntries(named))
  const whole = async () => {
    const url = await createDatabase()
    const { moments, kill } = start({ url, directory })
    const { begun, started, ended } = moments
    const [first, second, last] = await Promise.all([begun, started, ended])
    await kill()
    const durations = { begun: last - first, started: last - second }
    return { directory, durations, outcome: await withDatabase(url, outcomeOf) }
  }
  // The first run has the files read and compiled: it takes longer.
  await whole()
  return await whole()
}

/** Starts a process that migrates, and notes when it tells what. */
function start(order: Order) {
  const child = fork(join(import.meta.dirname, 'migrate-child.ts'))
  const exited = once(child, 'exit')
  const begun = Promise.withResolvers<number>()
  const started = Promise.withResolvers<number>()
  const ended = Promise.withResolvers<number>()
  child.on('message', (message: 'ready' | Notice | Answer) => {
    if (message === 'ready') child.send(order)
    else if (message === 'begun') begun.resolve(performance.now())
    else if (message === 'started') started.resolve(performance.now())
    else {
      if ('failed' in message) started.reject(new Error(message.failed))
      ended.resolve(performance.now())
    }
  })
  const kill = async () => {
    child.kill('SIGKILL')
    await exited
  }
  const moments = { begun: begun.promise, started: started.promise, ended: ended.promise }
  return { moments, kill }
}

async function outcomeOf(db: AnyDatabase): Promise<Outcome> {
  const { schema } = await readSchema(db)
  const rows = await db.selectFrom('city').selectAll().orderBy('n').execute()
  return { schema, rows }
}

/** Where a process may have been when it was killed. */
const STATES = {
  'not begun': 0,
  'between two': 0,
  'in one': 0,
  'finished before': 0,
}

/** Runs it again as an operator would, and compares what has become of the database. */
async function finish(
  url: string,
  directory: string,
  wanted: Outcome,
): Promise<keyof typeof STATES> {
  return await withDatabase(url, async (db) => {
    const migrator = createMigrator({ db, directory })
    const place = placeOf(await migrator.status())
    await migrator.migrate()
    assertSame(await outcomeOf(db), wanted, 'the database after the next run')
    assertSame(await migrator.pending(), [], 'what is pending after it')
    return place
  })
}

function placeOf(migrations: readonly MigrationStatus[]): keyof typeof STATES {
  const all = (wanted: MigrationStatus['state']) =>
    migrations.every(({ state }) => state === wanted)
  if (all('pending')) return 'not begun'
  if (all('applied')) return 'finished before'
  return migrations.some(({ state }) => state === 'interrupted') ? 'in one' : 'between two'
}
