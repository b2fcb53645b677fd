import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { readCities } from '../examples/atlas/src/data/cities.ts'
import { attach } from '../test/servers/attach.ts'
import { execute, mysql } from '../test/servers/mysql.ts'
import { progress } from '../test/servers/ready.ts'
import { redis } from '../test/servers/redis.ts'
import type { Sandbox } from '../test/servers/sandbox.ts'
import { load } from './load.ts'
import type { Options } from './options.ts'
import { commands } from './prepare.ts'
import type { Route } from './routes.ts'
import { productionEnv, type Server, startServer } from './server.ts'
import { median, type Ratio, typicalRatio } from './statistics.ts'
import { rotate } from './throughput.ts'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('..', import.meta.url))
const CITY = 2_988_507
/** A slice is as many times that of the other measurements: time on a CPU is steadier over more requests. */
const LONGER = 5

/**
 * What runs, in a process each: the bare service twice, the second as a control, and Plinth with a cache that keeps nothing
 * in the process, and one that does.
 */
const SIDES = { bare: 'bare', control: 'bare', plinth: 'plinth', memory: 'plinth' } as const
export type Side = keyof typeof SIDES

export interface BareRoute extends Route {
  /** What stands beside the bare service here; default `plinth`. */
  side?: Side
  /** The path of the bare service; default: the same. */
  barePath?: string
}

/** @param sandbox where the script is written that asks for cached cities */
function createRoutes(sandbox: Sandbox): ReadonlyMap<string, BareRoute> {
  const echo = fileURLToPath(new URL('bare/echo.lua', import.meta.url))
  const cached = join(sandbox.folder, 'cached.lua')
  // A thousand in turns: one alone would be read once for all connections that ask for it at a time.
  const paths = [...readCities()].slice(0, 1000).map(({ id }) => `"/cached/${id}"`)
  writeFileSync(
    cached,
    `local paths = {${paths}}\nlocal i = 0\nfunction request()\n  i = i % #paths + 1\n  return wrk.format("GET", paths[i])\nend\n`,
  )
  return new Map<string, BareRoute>([
    ['ping', { path: '/ping' }],
    ['echo', { path: '/echo', script: echo }],
    ['list', { path: '/cities?country=FR&order=-population' }],
    ['one', { path: `/cities/${CITY}` }],
    ['cached in Redis', { path: '/', script: cached }],
    ['cached in process', { path: '/', script: cached, side: 'memory' }],
  ])
}

/** Plinth beside the bare service, by the time on a CPU that a request takes. */
export interface BareRatio {
  route: string
  /** Microseconds for a request, typically. */
  bare: number
  plinth: number
  ratio: Ratio
  control: Ratio
}

/** One slice of load: microseconds of CPU for a request. */
interface Sample {
  boot: number
  route: string
  side: Side
  cost: number
}

/** Loads Plinth and the bare service on MariaDB and Redis in turns, with several starts of each. */
export async function measureBare(
  place: { sandbox: Sandbox; wrk: string },
  options: Options,
): Promise<BareRatio[]> {
  const { sandbox, wrk } = place
  const env = await fillServers(sandbox)
  return await compareSides(wrk, options, createRoutes(sandbox), () => startAll(sandbox, env))
}

/**
 * Loads the routes of the sides in turns.
 *
 * @param start starts those that the routes need, each time anew
 */
export async function compareSides(
  wrk: string,
  options: Options,
  routes: ReadonlyMap<string, BareRoute>,
  start: () => Promise<Readonly<Partial<Record<Side, Server>>>>,
): Promise<BareRatio[]> {
  const samples: Sample[] = []
  const slice = options.slice * LONGER
  for (let boot = 0; boot < options.boots; boot++) {
    progress(`bare: start ${boot + 1} of ${options.boots}`)
    const servers = await start()
    for (const [name, route] of routes) {
      const chosen: readonly Side[] = ['bare', 'control', route.side ?? 'plinth']
      const sides = chosen.map((side) => ({
        side,
        server: servers[side] as Server,
        target: SIDES[side] === 'bare' ? { ...route, path: route.barePath ?? route.path } : route,
      }))
      await Promise.all(
        sides.map(({ server, target }) => warmUp(wrk, server, target, options.warm)),
      )
      for (let round = 0; round < options.slices; round++) {
        for (const { side, server, target } of rotate(sides, round)) {
          const { rateOfCpu } = await load(wrk, server, target, slice)
          samples.push({ boot, route: name, side, cost: 1e6 / rateOfCpu })
        }
      }
    }
    await Promise.all(Object.values(servers).map((server) => server.stop('SIGKILL')))
  }
  return [...routes].map(([name, { side = 'plinth' }]) => compare(samples, name, side))
}

function compare(all: readonly Sample[], route: string, side: Side): BareRatio {
  const samples = all.filter((sample) => sample.route === route)
  const boots = Object.values(Object.groupBy(samples, ({ boot }) => boot)) as Sample[][]
  const costs = (wanted: Side, from: readonly Sample[]) =>
    from.filter((sample) => sample.side === wanted).map(({ cost }) => cost)
  const ratio = (wanted: Side) =>
    typicalRatio(
      boots.map((boot) => {
        const bare = costs('bare', boot)
        return costs(wanted, boot).map((cost, i) => cost / (bare[i] as number))
      }),
    )
  return {
    route,
    bare: median(costs('bare', samples)),
    plinth: median(costs(side, samples)),
    ratio: ratio(side),
    control: ratio('control'),
  }
}

/** Loads the cities into MariaDB. Returns what every server gets of its environment. */
async function fillServers(sandbox: Sandbox): Promise<Record<string, string>> {
  const { TEST_MYSQL_URL = '', TEST_REDIS_URL = '' } = await attach([mysql, redis], sandbox)
  const name = `bench_bare_${process.pid}`
  await execute(TEST_MYSQL_URL, `CREATE DATABASE ${name}`)
  const url = new URL(TEST_MYSQL_URL)
  url.pathname = `/${name}`
  progress('filling MariaDB')
  const env = { ...productionEnv(), DATABASE_URL: url.href }
  for (const command of ['migrate', 'seed'])
    await run(process.execPath, ['bin/manage', command], { cwd: ROOT, env })
  // As after a while of use: the first plans of a table that was filled a moment ago are others.
  await execute(url.href, 'ANALYZE TABLE city')
  return { DATABASE_URL: url.href, REDIS_URL: TEST_REDIS_URL, LOG_LEVEL: 'silent' }
}

async function startAll(sandbox: Sandbox, env: Record<string, string>) {
  const start = (side: Side) => {
    const kept = side === 'memory' ? '67108864' : '0'
    const own = { ...env, PLINTH_SERVICE: 'bench/bare/service', CACHE_MEMORY: kept }
    return startServer(sandbox, commands[SIDES[side]], own)
  }
  return {
    bare: await start('bare'),
    control: await start('control'),
    plinth: await start('plinth'),
    memory: await start('memory'),
  } satisfies Record<Side, Server>
}

async function warmUp(wrk: string, server: Server, route: Route, seconds: number): Promise<void> {
  const enough = server.cpuSeconds() + seconds
  for (let turn = 0; turn < 30 && server.cpuSeconds() < enough; turn++)
    await load(wrk, server, route, 1000)
}
