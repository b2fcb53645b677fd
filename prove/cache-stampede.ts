import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ownRedis } from '../test/helpers/own-redis.ts'
import { ProofService } from './manage.ts'
import { assertSame, type Proof, type ProofOptions } from './proof.ts'

const PROCESSES = 4
/** In a single round, which is what `npm test` runs beside other tests. */
const FEW = 2
const REQUESTS = 1000
/** Milliseconds after which another process may compute what the one that does gives no sign of life of. */
const LEASE = 2000
/** Where `fetch` tells of each request that it sends. */
const SENT = 'undici:client:sendHeaders'

export const proof: Proof = {
  summary: `${REQUESTS} requests at once for what is not cached, in ${PROCESSES} processes (manage serve), compute it once; once in each process without Redis`,
  drivers: ['redis'],
  size: { full: 20, short: 1 },
  prove,
}

async function prove(options: ProofOptions): Promise<Record<string, number>> {
  const redis = await ownRedis(options)
  const record = join(options.folder, 'computed.txt')
  writeFileSync(record, '')
  const isShort = options.size === 1
  const env = { REDIS_URL: redis.url, WORK: '1000', RECORD: record }
  // Whom Redis answers too late computes for itself: beside other tests it may be late by no fault of ours.
  const patience = isShort && { REDIS_TIMEOUT: '5000' }
  const service = new ProofService(options, 'cache', { ...env, ...patience })
  const processes = isShort ? FEW : PROCESSES
  const servers = await Promise.all(Array.from({ length: processes }, () => service.serve()))
  let again = 0
  for (let round = 1; round <= options.size; round++) {
    const key = `shared-${round}`
    const { asked, failed } = await askAll(servers, key)
    assertSame(failed, 0, `failed in round ${round}`)
    const times = computedIn(record, key).map(({ at }) => at)
    // Beside other tests a process may stand still for longer than it is waited for.
    const isLater = (at: number, n: number) => isShort && n > 0 && at >= asked + n * LEASE
    const when = times.map((at) => `${at - asked} ms`).join(', ')
    const together = times.filter((at, n) => !isLater(at, n))
    assertSame(together.length, 1, `computed in round ${round} (after ${when})`)
    again += times.length - 1
  }
  await redis.kill()
  const pids = servers.map(({ pid }) => `${pid}`).toSorted()
  for (let round = 1; round <= options.size; round++) {
    const key = `alone-${round}`
    const where = `round ${round} without Redis`
    const { failed } = await askAll(servers, key)
    assertSame(failed, 0, `failed in ${where}`)
    const computed = computedIn(record, key).map(({ pid }) => pid)
    assertSame(computed.toSorted(), pids, `who has computed it in ${where}`)
    options.tell(round)
  }
  const { size: rounds } = options
  const requests = 2 * rounds * REQUESTS
  return { rounds, processes, requests, failed: 0, 'computed twice': again }
}

/** Requests an item many times at once, of all servers, each on a connection of its own. When the first was sent, and how many failed. */
async function askAll(servers: readonly { url: string }[], key: string) {
  // All of them are made before any is sent, which takes its time.
  let asked = Number.POSITIVE_INFINITY
  const note = () => {
    asked = Math.min(asked, Date.now())
  }
  subscribe(SENT, note)
  const requests = Array.from({ length: REQUESTS }, async (_, n) => {
    const response = await fetch(`${servers[n % servers.length]?.url}/items/${key}`)
    await response.text()
    return response.ok
  })
  const answers = await Promise.all(requests)
  unsubscribe(SENT, note)
  return { asked, failed: answers.filter((ok) => !ok).length }
}

/** Which process has computed it when, the first time first. */
function computedIn(record: string, key: string): { pid: string; at: number }[] {
  const lines = readFileSync(record, 'utf8').split('\n')
  const all = lines.filter((line) => line.startsWith(`${key} `)).map((line) => line.split(' '))
  return all.map(([, pid = '', at]) => ({ pid, at: Number(at) })).toSorted((a, b) => a.at - b.at)
}
