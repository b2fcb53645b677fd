import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ownMysql } from '../test/helpers/own-mysql.ts'
import { ownRedis } from '../test/helpers/own-redis.ts'
import type { OwnServer } from '../test/helpers/own-server.ts'
import { seeded } from '../test/helpers/random-schema.ts'
import { execute } from '../test/servers/mysql.ts'
import { startChild } from './children.ts'
import { ProofService } from './manage.ts'
import type { Proof, ProofOptions } from './proof.ts'
import { Runs } from './runs.ts'
import { poisonRecord } from './tasks-service.ts'
import { openBare, openPlinth, type Side } from './tasks-sides.ts'

const WORKERS = 3
/** Milliseconds between two kills of a worker that has run a task. */
const KILL = 300
/** So many tasks are enqueued in a second: it is kills that are wanted for each, not speed. */
const RATE = 100
/** How many tasks end their process whenever they run, and how often each does (TASK_MAX_CRASHES). */
const POISON = 5
const DEATHS = 5
/** Milliseconds after which every worker has found a server that is back: BullMQ alone looks once a second. */
const FOUND = 2000
/**
 * Milliseconds without progress after which what has not run counts as lost. Those of a worker that was killed run again after 30 to
 * 60 s on Redis, which is a lock and a look for those that have run out; in a database after 30 to 40.
 */
const PATIENCE = 120_000
/** From this size on BullMQ alone does the same, to compare. */
const LARGE = 1000

export const proof: Proof = {
  summary:
    'Tasks of workers (manage worker, as it is by default) that are killed all the time, and whose Redis or MySQL is killed twice, all run, few of them twice, on Redis as with BullMQ alone; those that end their process are given up',
  drivers: ['redis', 'sqlite', 'mysql'],
  size: { full: 10_000 },
  prove,
}

async function prove(options: ProofOptions): Promise<Record<string, number>> {
  const ours = await runSide(options, 'plinth')
  if (options.size < LARGE || options.driver !== 'redis') return ours
  const theirs = await runSide(options, 'bullmq')
  assertFew(ours, theirs)
  const bare = Object.entries(theirs).map(([name, value]) => [`BullMQ: ${name}`, value])
  return { ...ours, ...Object.fromEntries(bare) }
}

interface Figures extends Record<string, number> {
  kills: number
  /** How many of them while the server was away. */
  away: number
  /** How many runs were one too many. */
  twice: number
  /** How many of them of workers that were killed while it was away, which is all that they had done by then, or by poison. */
  'twice, not compared': number
}

/**
 * Few run twice: beside BullMQ as many for each kill, as far as so few can tell (three standard deviations of the
 * difference of two rare events). Who is killed while Redis is away, and how much it has done then, is chance: these are
 * counted, and not compared; nor are those beside poison, which BullMQ alone has none of.
 *
 * @throws {Error}
 */
function assertFew(ours: Figures, theirs: Figures): void {
  const [ourKills, theirKills] = [ours.kills - ours.away, theirs.kills - theirs.away]
  const twiceOf = (figures: Figures) => figures.twice - figures['twice, not compared']
  const twice = twiceOf(ours)
  const expected = (twiceOf(theirs) / theirKills) * ourKills
  if (twice > expected + 3 * Math.sqrt(twice + expected))
    throw new Error(`${twice} tasks ran twice; with BullMQ alone it would be ${expected}`)
}

async function runSide(options: ProofOptions, name: Side['name']): Promise<Figures> {
  const { size, folder, tell, teardown } = options
  const began = performance.now()
  const record = join(folder, `${name}.txt`)
  const runs = new Runs(record)
  const poisoned = new Runs(poisonRecord(record))
  teardown(() => runs.close())
  teardown(() => poisoned.close())
  const place = await openPlace(options)
  const side = await (name === 'plinth'
    ? openPlinth(place.env, folder)
    : openBare(place.env.REDIS_URL ?? ''))
  teardown(() => side.close())
  const poison = name === 'plinth' ? POISON : 0
  const start = await startOf(name, options, { ...place.env, RECORD: record })
  const killer = new Killer(start, options.seed, runs)
  try {
    const [again, restarts] = await Promise.all([
      enqueueAll(side, size, poison),
      restartTwice(place, size, runs, killer),
      untilAll(size, [runs, poisoned], tell),
    ])
    await killer.stop()
    const { failed, crashed } = await untilIdle(side, poisoned)
    if (failed > 0) throw new Error(`${failed} tasks have failed`)
    if (crashed !== poison)
      throw new Error(`${crashed} tasks were given up, and ${poison} are poison`)
    const deaths = poisoned.times
    if (deaths > poison * DEATHS) throw new Error(`poison has ended ${deaths} processes`)
    const seconds = Math.round((performance.now() - began) / 1000)
    const { kills, killedAway } = killer
    const notCompared = new Set([...killedAway, ...poisoned.processes])
    return {
      tasks: size,
      lost: 0,
      ...{ twice: runs.repeated(), 'twice, not compared': runs.repeated(notCompared) },
      kills,
      away: killedAway.size,
      ...(poison > 0 && { poison, 'ended by poison': deaths }),
      ...{ restarts, again, seconds },
    }
  } finally {
    await killer.close()
  }
}

/** A process that works on tasks. */
interface Worker {
  readonly pid: number
  /** Resolves when it has ended. */
  readonly ended: Promise<unknown>
  kill(): Promise<void>
}

/** How workers are started. One was already, and has ended: the others start faster with what it has compiled. */
async function startOf(
  name: Side['name'],
  options: ProofOptions,
  env: Record<string, string>,
): Promise<() => Promise<Worker>> {
  if (name === 'bullmq') {
    await (await startChild(options, 'tasks', env)).ask('end')
    return () => startChild(options, 'tasks', env)
  }
  const service = new ProofService(options, 'tasks', env)
  const start = async () => {
    const worker = service.start('worker')
    const { managed, ended } = worker
    // Poison may have ended it by then.
    await managed.says('working on tasks').catch(async (error) => {
      if (!managed.hasEnded || (await ended) !== null) throw error
    })
    return worker
  }
  const { managed, ended } = await start()
  managed.signal('SIGTERM')
  await ended
  return start
}

/** Where tasks are kept, and the server to kill, where there is one. */
interface Place {
  env: Record<string, string>
  server?: OwnServer
  /** Makes it write down what it says yes to, so that killing it loses nothing. */
  keep?: () => Promise<void>
}

async function openPlace(options: ProofOptions): Promise<Place> {
  const { driver } = options
  if (driver === 'sqlite') return { env: { DATABASE_URL: await options.createDatabase() } }
  if (driver === 'redis') {
    const server = await ownRedis(options)
    return { env: { REDIS_URL: server.url }, server }
  }
  const server = await ownMysql(options)
  const keep = () => execute(server.url, 'set global innodb_flush_log_at_trx_commit = 2')
  await keep()
  await execute(server.url, 'create database prove')
  return { env: { DATABASE_URL: `${server.url}/prove` }, server, keep }
}

/** Keeps workers at work, and kills one of those that are, again and again. */
class Killer {
  kills = 0
  serverIsAway = false
  /** How often it has gone. */
  absences = 0
  /** The processes that were killed meanwhile. */
  readonly killedAway = new Set<number>()
  readonly #start: () => Promise<Worker>
  readonly #random: () => number
  readonly #runs: Runs
  readonly #workers = new Set<Worker>()
  readonly #slots: Promise<void>[]
  readonly #killing: Promise<void>
  readonly #closed = new AbortController()
  readonly #closing = once(this.#closed.signal, 'abort')
  #stopped = false

  /** @param runs tells who has run a task: no other is killed */
  constructor(start: () => Promise<Worker>, seed: number, runs: Runs) {
    this.#start = start
    this.#random = seeded(seed)
    this.#runs = runs
    this.#slots = Array.from({ length: WORKERS }, () => this.#keep())
    // One that fails makes no progress: that is seen, and `close` tells why.
    for (const slot of this.#slots) slot.catch(() => {})
    this.#killing = this.#kill()
  }

  /** Those that work now go on. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#killing
  }

  async close(): Promise<void> {
    await this.stop()
    this.#closed.abort()
    await Promise.all(this.#slots)
  }

  async #keep(): Promise<void> {
    while (!this.#closed.signal.aborted) {
      const { absences, serverIsAway } = this
      const worker = await this.#start().catch((error) => {
        // Without its database a service does not start; whoever has started it tries it again. It may be back when that is told.
        if (!serverIsAway && absences === this.absences) throw error
      })
      if (!worker) {
        await sleep(KILL)
        continue
      }
      this.#workers.add(worker)
      await Promise.race([worker.ended, this.#closing])
      this.#workers.delete(worker)
      if (this.#closed.signal.aborted) await worker.kill()
    }
  }

  async #kill(): Promise<void> {
    while (!this.#stopped) {
      await sleep(KILL)
      const working = [...this.#workers].filter(({ pid }) => this.#runs.processes.has(pid))
      const chosen = working[Math.floor(this.#random() * working.length)]
      if (!chosen) continue
      this.#workers.delete(chosen)
      this.kills += 1
      if (this.serverIsAway) this.killedAway.add(chosen.pid)
      await chosen.kill()
    }
  }
}

/** Returns how often a task had to be enqueued again, as the server was away. */
async function enqueueAll(side: Side, size: number, poison: number): Promise<number> {
  let failures = 0
  const enqueue = async (add: () => Promise<unknown>) => {
    for (let again = true; again; ) {
      again = await add().then(
        () => false,
        () => true,
      )
      if (again && ++failures > size + 1000) throw new Error('nothing can be enqueued')
      if (again) await sleep(20)
    }
  }
  const began = performance.now()
  for (let n = 1; n <= size; n++) {
    await sleep(Math.max(0, began + (n * 1000) / RATE - performance.now()))
    await enqueue(() => side.enqueue(n))
    if (n <= poison) await enqueue(() => side.enqueuePoison(n))
  }
  return failures
}

/** Kills the server and starts it again, when a third and when two thirds have run. */
async function restartTwice(
  { server, keep }: Place,
  size: number,
  runs: Runs,
  killer: Killer,
): Promise<number> {
  if (!server) return 0
  for (const part of [1, 2]) {
    while (runs.tasks < (size * part) / 3) await sleep(20)
    killer.serverIsAway = true
    killer.absences += 1
    await server.kill()
    await server.restart()
    await keep?.()
    await sleep(FOUND)
    killer.serverIsAway = false
  }
  return 2
}

/** @throws {Error} where there is no progress any more */
async function untilAll(
  size: number,
  [runs, poisoned]: readonly [Runs, Runs],
  tell: (done: number) => void,
): Promise<void> {
  let told = 0
  const patience = new Patience()
  while (told < size) {
    await sleep(50)
    const { tasks } = runs
    while (told < tasks) tell(++told)
    if (patience.ends(runs.times + poisoned.times))
      throw new Error(`${size - tasks} of ${size} tasks are lost`)
  }
}

/** Until poison has ended, too. @throws {Error} where there is no progress any more */
async function untilIdle(side: Side, poisoned: Runs): Promise<Awaited<ReturnType<Side['left']>>> {
  const patience = new Patience()
  for (;;) {
    const left = await side.left()
    if (left.open === 0) return left
    if (patience.ends(poisoned.times)) throw new Error(`${left.open} tasks do not end`)
    await sleep(200)
  }
}

/** Of whoever waits for progress. */
class Patience {
  #progress = -1
  #since = 0

  /** Whether there has been none for too long. @param progress a number that grows by it */
  ends(progress: number): boolean {
    if (progress !== this.#progress) this.#since = performance.now()
    this.#progress = progress
    return performance.now() - this.#since > PATIENCE
  }
}
