import { Redis } from 'ioredis'
import { attach } from '../test/servers/attach.ts'
import { progress } from '../test/servers/ready.ts'
import { redis } from '../test/servers/redis.ts'
import { load, type Slice } from './load.ts'
import type { Options } from './options.ts'
import { commands, copyDatabase } from './prepare.ts'
import { type Server, startServer } from './server.ts'
import { median, type Ratio, typicalRatio } from './statistics.ts'
import { type Place, rotate } from './throughput.ts'

const CITY = 2_988_507

/** What is loaded: a route of a server. */
interface Target {
  server: 'plinth' | 'plain' | 'control'
  path: string
}

const targets = {
  hit: { server: 'plinth', path: `/cities/${CITY}` },
  ping: { server: 'plinth', path: '/ping' },
  redis: { server: 'plain', path: `/cached/${CITY}` },
  again: { server: 'control', path: `/cached/${CITY}` },
} as const satisfies Record<string, Target>

type Name = keyof typeof targets

/** The first of two beside the second. */
export interface CachedRatio {
  name: string
  /** Requests per second, typically. */
  rates: [number, number]
  ratio: Ratio
  ratioOfCpu: Ratio
}

/**
 * Loads a cached city of Atlas, its /ping, and the plain application that reads the same city from Redis by hand, in
 * turns, with several starts of each.
 */
export async function measureCached(place: Place, options: Options): Promise<CachedRatio[]> {
  const { TEST_REDIS_URL = '' } = await attach([redis], place.sandbox)
  const samples: Record<Name, Slice[]>[] = []
  for (let boot = 0; boot < options.boots; boot++) {
    progress(`cached: start ${boot + 1} of ${options.boots}`)
    const servers = await startAll(place, TEST_REDIS_URL)
    await store(servers.plinth, TEST_REDIS_URL)
    samples.push(await loadAll(place.wrk, servers, options))
    await Promise.all(Object.values(servers).map((server) => server.stop('SIGKILL')))
  }
  const compare = (name: string, first: Name, second: Name): CachedRatio => {
    const of = (measure: keyof Slice) =>
      typicalRatio(samples.map((boot) => ratios(boot[first], boot[second], measure)))
    const rate = (target: Name) =>
      median(samples.flatMap((boot) => boot[target].map((s) => s.rate)))
    const rates: [number, number] = [rate(first), rate(second)]
    return { name, rates, ratio: of('rate'), ratioOfCpu: of('rateOfCpu') }
  }
  return [
    compare('cached city, plain reads it from Redis', 'hit', 'redis'),
    compare('cached city, /ping of Atlas', 'hit', 'ping'),
    compare('plain, plain again (control)', 'again', 'redis'),
  ]
}

type Servers = Record<Target['server'], Server>

async function startAll({ sandbox, database }: Place, redisUrl: string): Promise<Servers> {
  const start = (side: Target['server']) =>
    startServer(sandbox, commands[side === 'plinth' ? 'plinth' : 'plain'], {
      DATABASE_URL: copyDatabase(database, side),
      REDIS_URL: redisUrl,
      CACHE_MEMORY: '67108864',
    })
  return {
    plinth: await start('plinth'),
    plain: await start('plain'),
    control: await start('control'),
  }
}

/** The same value for both: Atlas' answer. */
async function store(plinth: Server, redisUrl: string): Promise<void> {
  const { data } = (await (await fetch(`${plinth.url}/cities/${CITY}`)).json()) as { data: unknown }
  const client = new Redis(redisUrl)
  await client.set(`city:${CITY}`, JSON.stringify(data))
  await client.quit()
}

async function loadAll(wrk: string, servers: Servers, options: Options) {
  const all = Object.entries(targets) as [Name, Target][]
  const measured: Record<Name, Slice[]> = { hit: [], ping: [], redis: [], again: [] }
  const turn = async ([name, { server, path }]: [Name, Target]) => {
    measured[name].push(await load(wrk, servers[server], { path }, options.slice))
  }
  // Their code is compiled after this.
  for (const one of all) for (let i = 0; i < options.warm * 2; i++) await turn(one)
  for (const name of Object.keys(measured) as Name[]) measured[name] = []
  for (let round = 0; round < options.slices * 2; round++) {
    for (const one of rotate(all, round)) await turn(one)
  }
  return measured
}

function ratios(first: readonly Slice[], second: readonly Slice[], measure: keyof Slice): number[] {
  return first.map((slice, i) => slice[measure] / (second[i]?.[measure] ?? Number.NaN))
}
