import { setTimeout as sleep } from 'node:timers/promises'
import { createApp } from '../src/service.ts'
import { ownRedis } from '../test/helpers/own-redis.ts'
import { seeded } from '../test/helpers/random-schema.ts'
import { type Child, startChild } from './children.ts'
import { assertSame, type Proof, type ProofOptions } from './proof.ts'
import service, { ticks } from './schedule-service.ts'

const PROCESSES = 5
/** In `npm test`. */
const FEW = 3
const SHORT = 4
const KILLED = 2

export const proof: Proof = {
  summary: `${PROCESSES} processes with a schedule of every second, of which ${KILLED} are killed, run each time once`,
  drivers: ['redis'],
  size: { full: 120, short: SHORT },
  prove,
}

async function prove(options: ProofOptions): Promise<Record<string, number>> {
  const { size, seed, folder, teardown, tell } = options
  const { url } = await ownRedis(options)
  const processes = size > SHORT ? PROCESSES : FEW
  // The tasks run here, in a process that is not killed: a task whose worker is may run twice, a time must not.
  const env = { NODE_ENV: 'production', REDIS_URL: url }
  const app = await createApp(service, { root: folder, env, logger: false })
  teardown(() => app.close())
  ticks.length = 0
  await app.tasks.work({ queues: ['default'], concurrency: 10, schedules: false })
  const starting = Array.from({ length: processes }, () =>
    startChild(options, 'schedule', { REDIS_URL: url }),
  )
  const children = await Promise.all(starting)
  const first = ticks.length
  const killing = killSome(children, size, seeded(seed))
  for (const began = performance.now(); ticks.length < first + size; await sleep(20)) {
    if (performance.now() - began > size * 1000 + 30_000) throw new Error('no time comes any more')
  }
  await killing
  assertEverySecond(ticks)
  tell(size)
  return { processes, killed: KILLED, times: ticks.length, lost: 0, twice: 0 }
}

/** Each at its moment: one at any, one just when a second begins, which is when tasks are added. */
async function killSome(children: readonly Child[], seconds: number, random: () => number) {
  for (const [index, child] of children.slice(0, KILLED).entries()) {
    await sleep((random() * seconds * 1000) / KILLED / 2)
    if (index > 0) await sleep(1000 - (Date.now() % 1000) + random() * 20)
    await child.kill()
  }
}

/** @throws {Error} where one is missing, or there twice */
function assertEverySecond(found: readonly string[]): void {
  const times = found.map((id) => Date.parse(toInstant(id))).sort((a, b) => a - b)
  const [start = Number.NaN] = times
  const wanted = times.map((_, i) => start + 1000 * i)
  assertSame(times, wanted, 'the times that have run')
}

/** That of a request id such as `schedule-clock.tick-2026-01-01T000000.000Z`. */
function toInstant(id: string): string {
  return id.slice(-22).replace(/T(..)(..)(..)/, 'T$1:$2:$3')
}
