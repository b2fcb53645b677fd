import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readSchema } from '../src/database/inspect/differences.ts'
import { createMigrator, type MigrationStatus } from '../src/database/migration/migrator.ts'
import { seeded } from '../test/helpers/random-schema.ts'
import type { Answer, Notice, Order } from './migrate-child.ts'
import { MANY, TEN } from './migrate-steps.ts'
import { type AnyDatabase, withDatabase, writeMigrations } from './migrations.ts'
import { assertSame, type Proof, type ProofOptions } from './proof.ts'

export const proof: Proof = {
  summary:
    'Migrations that are killed at any moment, up or down, are finished or undone by the next run: one of ten steps, many of one',
  drivers: ['mysql', 'sqlite'],
  size: { full: 100, short: 2 },
  prove,
}

type Direction = 'up' | 'down'

async function prove(options: ProofOptions): Promise<Record<string, number>> {
  const sets = [await write(options, 'ten', TEN), await write(options, 'many', MANY)]
  const random = seeded(options.seed)
  const counts = { kills: 0, up: 0, down: 0, finished: 0, undone: 0, ...STATES }
  while (counts.kills < options.size) {
    // In turns, so that two kills are both of each.
    const set = sets[((counts.kills + 1) >> 1) % 2] as MigrationSet
    const direction = counts.kills % 2 === 0 ? 'up' : 'down'
    const url = await options.createDatabase()
    if (direction === 'down') await withDatabase(url, (db) => migratorOf(db, set).migrate())
    // Most of them while statements run; a little longer than it takes: the end is a moment, too.
    const since = random() < 0.2 ? 'begun' : 'started'
    const { moments, kill } = start(orderOf(url, set, direction))
    await moments[since]
    const wait = random() * set.durations[direction][since] * 1.1
    await Promise.race([sleep(wait), moments.ended])
    await kill()
    const next = random() < 0.5 ? 'up' : 'down'
    counts[await end(url, set, { direction, next })] += 1
    counts[direction] += 1
    counts[next === direction ? 'finished' : 'undone'] += 1
    counts.kills += 1
    options.tell(counts.kills)
  }
  return counts
}

interface MigrationSet {
  directory: string
  /** How many there are. */
  count: number
  /** Milliseconds that a process that has just been started takes from then on to the end. */
  durations: Record<Direction, Record<Notice, number>>
  /** What there is when it has been done that way. */
  outcomes: Record<Direction, Outcome>
}

interface Outcome {
  schema: unknown
  rows: unknown
}

const migratorOf = (db: AnyDatabase, { directory }: MigrationSet) =>
  createMigrator({ db, directory })

const orderOf = (
  url: string,
  { directory, count }: Pick<MigrationSet, 'directory' | 'count'>,
  direction: Direction,
): Order => ({ url, directory, back: direction === 'up' ? undefined : count })

async function write(
  { folder, createDatabase }: ProofOptions,
  name: string,
  migrations: readonly string[],
): Promise<MigrationSet> {
  const directory = join(folder, name)
  const count = migrations.length
  const named = migrations.map((text, i) => [`${String(i + 1).padStart(4, '0')}_step`, text])
  writeMigrations(directory, Object.fromEntries(named))
  const url = await createDatabase()
  const whole = async (direction: Direction) => {
    const { moments, kill } = start(orderOf(url, { directory, count }, direction))
    const { begun, started, ended } = moments
    const [first, second, last] = await Promise.all([begun, started, ended])
    await kill()
    const durations = { begun: last - first, started: last - second }
    return { durations, outcome: await withDatabase(url, outcomeOf) }
  }
  // The first run has the files read and compiled: it takes longer.
  await whole('up')
  await whole('down')
  const [up, down] = [await whole('up'), await whole('down')]
  return {
    directory,
    count,
    durations: { up: up.durations, down: down.durations },
    outcomes: { up: up.outcome, down: down.outcome },
  }
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
  const rows = schema.city ? await db.selectFrom('city').selectAll().orderBy('n').execute() : []
  return { schema, rows }
}

/** Where a process may have been when it was killed. */
const STATES = {
  'not begun': 0,
  'between two': 0,
  'in one': 0,
  'finished before': 0,
}

/** Runs it again as an operator would, on or back, and compares what has become of the database. */
async function end(
  url: string,
  set: MigrationSet,
  { direction, next }: { direction: Direction; next: Direction },
): Promise<keyof typeof STATES> {
  return await withDatabase(url, async (db) => {
    const migrator = migratorOf(db, set)
    const found = await migrator.status()
    const done = found.filter(({ state }) => state !== 'pending').length
    if (next === 'up') await migrator.migrate()
    else if (done > 0) await migrator.rollback({ steps: done })
    const where = `the database that was killed on its way ${direction}, after the next run ${next}`
    assertSame(await outcomeOf(db), set.outcomes[next], where)
    const wanted = next === 'up' ? 'applied' : 'pending'
    const states = new Set((await migrator.status()).map(({ state }) => state))
    assertSame([...states], [wanted], `what is recorded of ${where}`)
    return placeOf(found, direction)
  })
}

function placeOf(
  migrations: readonly MigrationStatus[],
  direction: Direction,
): keyof typeof STATES {
  const [before, after] = direction === 'up' ? ['pending', 'applied'] : ['applied', 'pending']
  const all = (wanted: string | undefined) => migrations.every(({ state }) => state === wanted)
  if (all(before)) return 'not begun'
  if (all(after)) return 'finished before'
  return migrations.some(({ state }) => state === 'interrupted') ? 'in one' : 'between two'
}
