import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { Load } from '../src/process/load-clients.ts'
import { ownRedis } from '../test/helpers/own-redis.ts'
import type { OwnServer } from '../test/helpers/own-server.ts'
import { seeded } from '../test/helpers/random-schema.ts'
import { ProofService } from './manage.ts'
import type { Proof, ProofOptions } from './proof.ts'
import { runTask } from './run-task.ts'

const CLIENTS = 8
/** Items that are asked for again and again; beside them one in ten requests is for a new one. */
const ITEMS = 50
/** Seconds from which on it is long enough to compare times. */
const LONG = 10
/** Milliseconds that do not count: timers are that exact beside the load, on a machine with few cores. */
const TOLERANCE = 5
/** Milliseconds after its return in which Redis has to be used again; in the short form there is more beside it. */
const RECOVERY = { long: 1000, short: 15_000 }

export const proof: Proof = {
  summary:
    'A server (manage serve) under load whose Redis dies, or freezes, for some seconds answers everything as before, and uses it again at once',
  drivers: ['redis'],
  size: { full: LONG, short: 1 },
  prove,
}

/** Ways to lose Redis: takes it away, returns what brings it back. */
const outages: Readonly<Record<string, (redis: OwnServer) => Promise<() => unknown>>> = {
  killed: async (redis) => {
    await redis.kill()
    return redis.restart
  },
  frozen: async (redis) => {
    redis.freeze()
    return redis.goOn
  },
}

async function prove(options: ProofOptions): Promise<Record<string, number>> {
  const redis = await ownRedis(options)
  const service = new ProofService(options, 'cache', { REDIS_URL: redis.url, WORK: '5' })
  const [{ url }] = await Promise.all([service.serve(), service.work()])
  await runTask(url)
  const next = addresses(url, options.seed)
  const load = new Load({ clients: { kept: CLIENTS }, next: () => ({ url: next() }) })
  options.teardown(() => load.stop())
  const all: Record<string, number> = {}
  for (const [index, [name, begin]] of Object.entries(outages).entries()) {
    const figures = await outage(load, options.size, async () => {
      const end = await begin(redis)
      return () => recover(redis.url, url, end)
    })
    for (const [what, value] of Object.entries(figures)) all[`${name}: ${what}`] = round(value)
    options.tell(Math.ceil((options.size * (index + 1)) / Object.keys(outages).length))
  }
  await load.stop()
  if (load.failures.length > 0)
    throw new Error(`${load.failures.length} requests failed, the first with ${load.failures[0]}`)
  return { requests: load.requests, failed: 0, ...all }
}

function addresses(url: string, seed: number): () => string {
  const random = seeded(seed)
  let last = 0
  return () => {
    const key = random() < 0.1 ? `new-${++last}` : `item-${Math.floor(random() * ITEMS)}`
    return `${url}/items/${key}`
  }
}

type End = () => Promise<{ recovered: number; worked: number }>

async function outage(load: Load, seconds: number, begin: () => Promise<End>) {
  // Its code is compiled after this.
  if (seconds >= LONG) await load.p99(1)
  const normal = await load.p99(seconds)
  const end = await begin()
  const during = await load.p99(seconds)
  const { recovered, worked } = await end()
  if (seconds >= LONG && during > 2 * normal + TOLERANCE)
    throw new Error(`p99 was ${during} ms during the outage, ${normal} ms before`)
  if (recovered > RECOVERY[seconds >= LONG ? 'long' : 'short'])
    throw new Error(`Redis is used again ${recovered} ms after its return`)
  return {
    'p99 before (ms)': normal,
    'p99 during (ms)': during,
    'used again after (ms)': recovered,
    'worker again after (ms)': worked,
  }
}

/** Brings Redis back. Returns after how many milliseconds the cache used it again, and a task that was enqueued had run. */
async function recover(redis: string, url: string, end: () => unknown) {
  const client = new Redis(redis, { maxRetriesPerRequest: null, retryStrategy: () => 10 })
  client.on('error', () => {})
  try {
    const ending = end()
    await client.ping()
    const back = performance.now()
    const since = () => performance.now() - back
    const worked = runTask(url).then(since)
    const recovered = await untilStored(client, url).then(since)
    await ending
    return { recovered, worked: await worked }
  } finally {
    client.disconnect()
  }
}

/** Waits until what the cache of the server stores is found in Redis. */
async function untilStored(client: Redis, url: string): Promise<void> {
  for (let attempt = 1; attempt <= 1000; attempt++) {
    const key = `probe-${performance.now()}`
    await (await fetch(`${url}/items/${key}`)).text()
    if ((await client.keys(`*${key}*`)).length > 0) return
    await sleep(10)
  }
  throw new Error('Redis is not used again')
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
