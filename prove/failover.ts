import { setTimeout as sleep } from 'node:timers/promises'
import { Load } from '../src/process/load-clients.ts'
import { ownSentinel } from '../test/helpers/own-sentinel.ts'
import { ProofService } from './manage.ts'
import type { Proof, ProofOptions } from './proof.ts'
import { runTask } from './run-task.ts'

const SENTINELS = 3
const CLIENTS = 8
const ITEMS = 50
/** Milliseconds without an answer after which the master is taken for dead, and from its death until a task that is enqueued then has run. */
const LIMITS = {
  long: { downAfter: 500, resumed: 5000 },
  // There is more beside it.
  short: { downAfter: 1500, resumed: 90_000 },
}

export const proof: Proof = {
  summary:
    'A server (manage serve) under load whose Redis is failed over by Sentinels, as its master dies or falls silent, fails no request for what is cached, and a worker (manage worker) goes on within five seconds',
  drivers: ['redis'],
  size: { full: 10, short: 1 },
  prove,
}

async function prove(options: ProofOptions): Promise<Record<string, number>> {
  const all: Record<string, number> = { requests: 0, failed: 0 }
  for (let round = 0; round < options.size; round++) {
    for (const how of ['kill', 'freeze'] as const) {
      const { requests, resumed } = await failOver(options, how)
      all.requests = (all.requests ?? 0) + requests
      const name = `${how === 'kill' ? 'killed' : 'silent'}: resumed after (ms, at most)`
      all[name] = Math.max(all[name] ?? 0, Math.round(resumed))
    }
    options.tell(round + 1)
  }
  return all
}

async function failOver(options: ProofOptions, how: 'kill' | 'freeze') {
  const limits = LIMITS[options.size > 1 ? 'long' : 'short']
  const set = await ownSentinel(options, { sentinels: SENTINELS, downAfter: limits.downAfter })
  const service = new ProofService(options, 'cache', { REDIS_URL: set.url })
  const [{ url }] = await Promise.all([service.serve(), service.work()])
  await runTask(url)
  let n = 0
  const next = () => ({ url: `${url}/items/item-${n++ % ITEMS}` })
  const load = new Load({ clients: { kept: CLIENTS }, next })
  options.teardown(() => load.stop())
  await sleep(500)
  const began = performance.now()
  await set.first[how]()
  await runTask(url)
  const resumed = performance.now() - began
  await sleep(500)
  await load.stop()
  if (load.failures.length > 0)
    throw new Error(`${load.failures.length} requests failed, the first with ${load.failures[0]}`)
  if (resumed > limits.resumed)
    throw new Error(`Tasks run again ${resumed} ms after the master was lost`)
  return { requests: load.requests, resumed }
}
