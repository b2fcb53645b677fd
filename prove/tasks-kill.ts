import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ownMysql } from '../test/helpers/own-mysql.ts'
import { ownRedis } from '../test/helpers/own-redis.ts'
import type { OwnServer } from '../test/helpers/own-server.ts'
import { seeded } from '../test/helpers/random-schema.ts'
import { execute } from '../test/servers/mysql.ts'
import { type Child, startChild } from './children.ts'
import type { Proof, ProofOptions } from './proof.ts'
import { Runs } from './runs.ts'
import { openBare, openPlinth, type Side } from './tasks-sides.ts'

const WORKERS = 3
/** Milliseconds between two kills of a worker that has run a task. */
const KILL = 300
/** How many tasks wait at most. */
const AHEAD = 1000
/** Milliseconds after which every worker has found a server that is back: BullMQ alone looks once a second. */
const FOUND = 2000
/** Milliseconds without progress after which what has not run counts as lost. */
const PATIENCE = 30_000
/** From this size on BullMQ alone does the same, to compare. */
const LARGE = 1000

export const proof: Proof = {
  summary:
    'Tasks whose workers are killed all the time, and whose Redis or MySQL is killed twice, all run; few twice, on Redis as with BullMQ alone',
  drivers: ['redis', 'sqlite', 'mysql'],
  size: { full: 10_000, short: 150 },
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
  /** How many of them of workers that were killed while it was away: all that they had done by then. */
  'twice, away': number
}

/**
 * Few run twice: beside BullMQ as many for each kill, as far as so few can tell (three standard deviations of the
 * difference of two rare events). Who is killed while Redis is away, and how much it has done then, is chance: these are
 * counted, and not compared.
 *
 * @throws {Error}
 */
function assertFew(ours: Figures, theirs: Figures): void {
  const [ourKills, theirKills] = [ours.kills - ours.away, theirs.kills - theirs.away]
  const twice = ours.twice - ours['twice, away']
  const expected = ((theirs.twice - theirs['twice, away']) / theirKills) * ourKills
  if (twice > expected + 3 * Math.sqrt(twice + expected))
    throw new Error(`${twice} tasks ran twice; with BullMQ alone it would be ${expected}`)
}

async function runSide(options: ProofOptions, name: Side['name']): Promise<Figures> {
  const { size, folder, tell, teardown } = options
  const began = performance.now()
  const record = join(folder, `${name}.txt`)
  const runs = new Runs(record)
  teardown(() => runs.close())
  const place = await openPlace(options)
  const side = await (name === 'plinth'
    ? openPlinth(place.env, folder)
    : openBare(place.env.REDIS_URL ?? ''))
  teardown(() => side.close())
  const env = { ...place.env, RECORD: record, ...(name === 'bullmq' && { BARE: '1' }) }
  // The others start faster with what it has compiled.
  await (await startChild(options, 'tasks', env)).ask('end')
  const killer = new Killer(() => startChild(options, 'tasks', env), options.seed)
  try {
    const [again, restarts] = await Promise.all([
      enqueueAll(side, size, runs),
      restartTwice(place, size, runs, killer),
      untilAll(size, runs, tell),
    ])
    await killer.stop()
    await untilIdle(side)
    const seconds = Math.round((performance.now() - began) / 1000)
    const { kills, killedAway } = killer
    const twice = { twice: runs.repeated(), 'twice, away': runs.repeated(killedAway) }
    return {
      tasks: size,
      lost: 0,
      ...twice,
      kills,
      away: killedAway.size,
      restarts,
      again,
      seconds,
    }
  } finally {
    await killer.close()
  }
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
  readonly #start: () => Promise<Child>
  readonly #random: () => number
  readonly #working = new Set<Child>()
  readonly #slots: Promise<void>[]
  readonly #killing: Promise<void>
  readonly #closed = new AbortController()
  readonly #closing = once(this.#closed.signal, 'abort')
  #stopped = false

  constructor(start: () => Promise<Child>, seed: number) {
    this.#start = start
    this.#random = seeded(seed)
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
      const child = await this.#start().catch((error) => {
        // Without its database a service does not start; whoever has started it tries it again. It may be back when that is told.
        if (!serverIsAway && absences === this.absences) throw error
      })
      if (!child) {
        await sleep(KILL)
        continue
      }
      await Promise.race([child.ask('worked'), this.#closing])
      this.#working.add(child)
      await Promise.race([child.ended, this.#closing])
      this.#working.delete(child)
      if (this.#closed.signal.aborted) await child.kill()
    }
  }

  async #kill(): Promise<void> {
    while (!this.#stopped) {
      await sleep(KILL)
      const working = [...this.#working]
      const chosen = working[Math.floor(this.#random() * working.length)]
      if (!chosen) continue
      this.#working.delete(chosen)
      this.kills += 1
      if (this.serverIsAway) this.killedAway.add(chosen.pid)
      await chosen.kill()
    }
  }
}

/** Returns how often a task had to be enqueued again, as the server was away. */
async function enqueueAll(side: Side, size: number, runs: Runs): Promise<number> {
  let failures = 0
  for (let n = 1; n <= size; n++) {
    if (n % 100 === 0) while (n - runs.tasks > AHEAD) await sleep(20)
    for (let again = true; again; ) {
      again = await side.enqueue(n).then(
        () => false,
        () => true,
      )
      if (again && ++failures > size + 1000) throw new Error('nothing can be enqueued')
      if (again) await sleep(20)
    }
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
async function untilAll(size: number, runs: Runs, tell: (done: number) => void) {
  let last = 0
  for (let since = performance.now(); last < size; ) {
    await sleep(50)
    const now = runs.tasks
    if (now > last) since = performance.now()
    while (last < now) tell(++last)
    if (performance.now() - since > PATIENCE)
      throw new Error(`${size - now} of ${size} tasks are lost`)
  }
}

async function untilIdle(side: Side): Promise<void> {
  for (const began = performance.now(); performance.now() - began < PATIENCE; ) {
    const { open, failed } = await side.left()
    if (failed > 0) throw new Error(`${failed} tasks have failed`)
    if (open === 0) return
    await sleep(50)
  }
  throw new Error('some tasks do not end')
}
