import { ownRedis } from '../test/helpers/own-redis.ts'
import type { Asked } from './cache-child.ts'
import { type Child, startChild } from './children.ts'
import { assertSame, type Proof, type ProofOptions } from './proof.ts'

const PROCESSES = 4
/** In a single round, which is what `npm test` runs beside other tests. */
const FEW = 2
const REQUESTS = 1000

export const proof: Proof = {
  summary: `${REQUESTS} requests at once for what is not cached, in ${PROCESSES} processes, compute it once; once in each process without Redis`,
  drivers: ['redis'],
  size: { full: 20, short: 1 },
  prove,
}

async function prove(options: ProofOptions): Promise<Record<string, number>> {
  const redis = await ownRedis(options)
  const env = { REDIS_URL: redis.url, WORK: '100' }
  const processes = options.size > 1 ? PROCESSES : FEW
  const starting = Array.from({ length: processes }, () => startChild(options, 'cache', env))
  const children = await Promise.all(starting)
  for (let round = 1; round <= options.size; round++) {
    const { performed, failed } = sum(await askAll(children, `shared-${round}`))
    assertSame({ performed, failed }, { performed: 1, failed: 0 }, `round ${round}`)
  }
  await redis.kill()
  for (let round = 1; round <= options.size; round++) {
    const wanted = Array(processes).fill({ performed: 1, failed: 0 })
    const where = `round ${round} without Redis`
    assertSame(await askAll(children, `alone-${round}`), wanted, where)
    options.tell(round)
  }
  const { size: rounds } = options
  return { rounds, processes, requests: 2 * rounds * REQUESTS, failed: 0, 'computed twice': 0 }
}

async function askAll(children: readonly Child[], key: string): Promise<Asked[]> {
  const times = REQUESTS / children.length
  return await Promise.all(children.map((child) => child.ask<Asked>('ask', { key, times })))
}

function sum(all: readonly Asked[]): Asked {
  const total = (name: keyof Asked) => all.reduce((sum, one) => sum + one[name], 0)
  return { performed: total('performed'), failed: total('failed') }
}
