import { setTimeout as sleep } from 'node:timers/promises'
import { progress } from '../test/servers/ready.ts'
import type { Sandbox } from '../test/servers/sandbox.ts'
import { load, type Slice } from './load.ts'
import type { Options } from './options.ts'
import { commands, copyDatabase } from './prepare.ts'
import { type Route, routes } from './routes.ts'
import { type Server, startServer } from './server.ts'

/** The control is a second process of the plain application; raw is that application without Kysely. */
const SIDES = { plinth: 'plinth', plain: 'plain', control: 'plain', raw: 'raw' } as const
export type Side = keyof typeof SIDES

export interface Sample extends Slice {
  /** Samples with the same number come from the same processes. */
  boot: number
  route: string
  side: Side
}

export interface MemorySample {
  side: Side
  /** MB before the load. */
  booted: number
  /** MB after it. */
  loaded: number
}

export interface Place {
  sandbox: Sandbox
  wrk: string
  /** The file that each server gets a copy of. */
  database: string
}

export interface Samples {
  load: Sample[]
  memory: MemorySample[]
}

/** Loads all servers in turns, with several starts of each. */
export async function measureLoad(place: Place, options: Options): Promise<Samples> {
  const samples: Samples = { load: [], memory: [] }
  const began = performance.now()
  // Each start takes as long as those before; two are the least that have an interval.
  const inTime = (boot: number) =>
    boot < 2 || ((performance.now() - began) / boot) * (boot + 1) < options.budget * 1000
  for (let boot = 0; boot < options.boots && inTime(boot); boot++) {
    progress(`load: start ${boot + 1} of ${options.boots}`)
    const servers = await startAll(place, options.workers)
    const booted = servers.map(({ server }) => server.memory())
    const chosen = [...routes].filter(([name]) => options.only.has(name))
    for (const [, route] of chosen) await warmUp(place, servers, route, options.warm)
    for (const [name, route] of chosen) {
      const measured = await loadRoute(place, servers, name, route, options)
      for (const sample of measured) samples.load.push({ ...sample, boot })
    }
    servers.forEach(({ side, server }, i) => {
      samples.memory.push({ side, booted: booted[i] as number, loaded: server.memory() })
    })
    await Promise.all(servers.map(({ server }) => server.stop('SIGKILL')))
  }
  return samples
}

function commandOf(side: Side, workers: number): readonly string[] {
  const command = commands[SIDES[side]]
  if (workers === 1) return command
  if (side === 'plinth') return [...command, '--workers', String(workers)]
  return ['bench/plain/cluster.ts', String(workers), ...command]
}

interface Running {
  side: Side
  server: Server
}

async function startAll({ sandbox, database }: Place, workers: number): Promise<Running[]> {
  const servers: Running[] = []
  for (const side of Object.keys(SIDES) as Side[]) {
    const env = { DATABASE_URL: copyDatabase(database, side) }
    servers.push({ side, server: await startServer(sandbox, commandOf(side, workers), env) })
  }
  // What a process still does after its first answer is done before it is looked at.
  await sleep(300)
  return servers
}

async function loadRoute(
  { wrk }: Place,
  servers: readonly Running[],
  name: string,
  route: Route,
  { slices, slice }: Options,
): Promise<Omit<Sample, 'boot'>[]> {
  const taking = thoseWith(route, servers)
  const samples: Omit<Sample, 'boot'>[] = []
  for (let round = 0; round < slices; round++) {
    for (const { side, server } of rotate(taking, round)) {
      samples.push({ route: name, side, ...(await load(wrk, server, route, slice)) })
    }
  }
  return samples
}

/** Loads a route of all servers at once, by their own time: others may use the machine, too. */
async function warmUp({ wrk }: Place, servers: readonly Running[], route: Route, seconds: number) {
  const warmed = thoseWith(route, servers).map(async ({ server }) => {
    const enough = server.cpuSeconds() + seconds
    for (let turn = 0; turn < 30 && server.cpuSeconds() < enough; turn++) {
      await load(wrk, server, route, 400)
    }
  })
  await Promise.all(warmed)
}

function thoseWith(route: Route, servers: readonly Running[]): readonly Running[] {
  return servers.filter(({ side }) => side !== 'raw' || route.readsCities)
}

/**
 * The same in an order that begins one further each round, and turns round when each has begun: none has a better place,
 * always the same one before it, or two turns in a row.
 */
export function rotate<T>(all: readonly T[], round: number): T[] {
  const first = round % all.length
  const line = Math.floor(round / all.length) % 2 === 0 ? all : all.toReversed()
  return [...line.slice(first), ...line.slice(0, first)]
}
