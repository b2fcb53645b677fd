import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ownRedis } from '../test/helpers/own-redis.ts'
import { seeded } from '../test/helpers/random-schema.ts'
import { ProofService, type ServiceProcess } from './manage.ts'
import { assertSame, type Proof, type ProofOptions } from './proof.ts'

const PROCESSES = 5
/** In `npm test`. */
const FEW = 3
const SHORT = 4
const KILLED = 2

export const proof: Proof = {
  summary: `${PROCESSES} workers (manage worker) with a schedule of every second, of which ${KILLED} are killed, run each time once`,
  drivers: ['redis'],
  size: { full: 120, short: SHORT },
  prove,
}

async function prove(options: ProofOptions): Promise<Record<string, number>> {
  const { size, seed, folder, tell } = options
  const { url } = await ownRedis(options)
  const processes = size > SHORT ? PROCESSES : FEW
  const record = join(folder, 'ticks.txt')
  writeFileSync(record, '')
  const ticks = () => readFileSync(record, 'utf8').trimEnd().split('\n').filter(Boolean)
  const service = new ProofService(options, 'schedule', { REDIS_URL: url, RECORD: record })
  // The tasks run in one that is not killed: a task whose worker is may run twice, a time must not.
  await service.work('--queues', 'default', '--no-schedules')
  const starting = Array.from({ length: processes }, () => service.work('--queues', 'other'))
  const workers = await Promise.all(starting)
  const first = ticks().length
  const killing = killSome(workers, size, seeded(seed))
  for (const began = performance.now(); ticks().length < first + size; await sleep(20)) {
    if (performance.now() - began > size * 1000 + 30_000) throw new Error('no time comes any more')
  }
  await killing
  const times = ticks()
  assertEverySecond(times)
  tell(size)
  return { processes, killed: KILLED, times: times.length, lost: 0, twice: 0 }
}

/** Each at its moment: one at any, one just when a second begins, which is when tasks are added. */
async function killSome(workers: readonly ServiceProcess[], seconds: number, random: () => number) {
  for (const [index, worker] of workers.slice(0, KILLED).entries()) {
    await sleep((random() * seconds * 1000) / KILLED / 2)
    if (index > 0) await sleep(1000 - (Date.now() % 1000) + random() * 20)
    await worker.kill()
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
