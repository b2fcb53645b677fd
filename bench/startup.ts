import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { progress } from '../test/servers/ready.ts'
import { commands, copyDatabase } from './prepare.ts'
import { productionEnv, startServer } from './server.ts'
import { median, type Ratio, typicalRatio } from './statistics.ts'
import { type Place, rotate } from './throughput.ts'

export interface Timed {
  name: string
  /** Milliseconds. */
  time: number
  /** Milliseconds on a CPU; `undefined`: not known. */
  cpu?: number
  /** To the first in the list. */
  ratio: Ratio
  ratioOfCpu?: Ratio
}

export interface Start {
  time: number
  cpu?: number
}

/**
 * Times starts until the first answer, in turns. First in the list is bare Fastify with one route, and nothing else.
 */
export async function measureStartup(place: Place, pairs: number): Promise<Timed[]> {
  progress('start-up')
  const url = copyDatabase(place.database, 'startup')
  const cache = join(place.sandbox.folder, 'compile-cache')
  const start = (command: readonly string[], env = {}) => ({
    run: (signal: NodeJS.Signals) =>
      startOnce(place, command, { DATABASE_URL: url, ...env }, signal),
  })
  const starts = {
    'bare Fastify': start(commands.ping),
    'plain, JavaScript': start(commands.plain),
    'plain, TypeScript': start(commands.plainTypeScript),
    'plain again (control)': start(commands.plain),
    'plain, compile cache': start(commands.plain, { NODE_COMPILE_CACHE: cache }),
    plinth: start(commands.plinth),
  }
  // A clean end fills the compile caches, and the files are in memory from then on.
  for (const { run } of Object.values(starts)) await run('SIGTERM')
  return compareStarts(await alternate(starts, pairs, ({ run }) => run('SIGKILL')), 'bare Fastify')
}

async function startOnce(
  { sandbox }: Place,
  command: readonly string[],
  env: Readonly<Record<string, string>>,
  signal: NodeJS.Signals,
): Promise<Start> {
  const server = await startServer(sandbox, command, env)
  const cpu = server.cpuSeconds() * 1000
  await server.stop(signal)
  return { time: server.started, cpu }
}

/** Times small commands and an empty Node.js, in turns. */
export async function measureCommands(pairs: number): Promise<Timed[]> {
  progress('commands')
  const programs = {
    'node -e 0': ['-e', '0'],
    'node -e 0 again (control)': ['-e', '0'],
    'manage --help': ['bin/manage', '--help'],
    [TEN_PLUGINS]: ['bin/manage', '--help'],
    'manage migrate status': ['bin/manage', 'migrate', 'status'],
  }
  const starts = Object.fromEntries(
    Object.entries(programs).map(([name, args]) => [
      name,
      () => runOnce(args, name === TEN_PLUGINS ? { PLINTH_SERVICE: 'bench/help' } : {}),
    ]),
  )
  for (const run of Object.values(starts)) await run()
  return compareStarts(await alternate(starts, pairs, (run) => run()), 'node -e 0')
}

const TEN_PLUGINS = 'manage --help, ten plugins'

async function runOnce(args: readonly string[], env: Readonly<Record<string, string>>) {
  const began = performance.now()
  const child = spawn(process.execPath, args, {
    cwd: join(import.meta.dirname, '..'),
    env: { ...productionEnv(), DATABASE_URL: 'sqlite::memory:', ...env },
    stdio: 'ignore',
  })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`node ${args.join(' ')} exits with ${code}`)
  return { time: performance.now() - began }
}

/** Runs everything in turns, so that what disturbs one disturbs the others, too. */
export async function alternate<T>(
  table: Readonly<Record<string, T>>,
  pairs: number,
  run: (one: T) => Promise<Start>,
): Promise<Map<string, Start[]>> {
  const entries = Object.entries(table)
  const starts = new Map<string, Start[]>(entries.map(([name]) => [name, []]))
  for (let round = 0; round < pairs; round++) {
    for (const [name, one] of rotate(entries, round)) {
      starts.get(name)?.push(await run(one))
    }
  }
  return starts
}

/** Compares all with the one that is named `first`. */
export function compareStarts(table: ReadonlyMap<string, Start[]>, first: string): Timed[] {
  const reference = table.get(first) ?? []
  const ratio = (starts: readonly Start[], key: keyof Start) =>
    typicalRatio([starts.map((one, i) => (one[key] ?? 0) / (reference[i]?.[key] ?? Number.NaN))])
  const timed = Array.from(table, ([name, starts]) => ({
    name,
    time: median(starts.map(({ time }) => time)),
    ratio: ratio(starts, 'time'),
    ...(starts[0]?.cpu !== undefined && {
      cpu: median(starts.map(({ cpu }) => cpu ?? Number.NaN)),
      ratioOfCpu: ratio(starts, 'cpu'),
    }),
  }))
  return timed.sort((a, b) => Number(b.name === first) - Number(a.name === first))
}
