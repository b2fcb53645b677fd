import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { progress } from '../test/servers/ready.ts'
import type { CachedRatio } from './cached.ts'
import type { Took } from './calling.ts'
import type { Options } from './options.ts'
import { productionEnv } from './server.ts'
import { median, typicalRatio } from './statistics.ts'
import { rotate } from './throughput.ts'

/** How many calls each side makes in its turn. */
const SLICE = 1000
/** Turns before it is measured: code is compiled then. */
const WARM = 12
const TURNS = 12
const SIDES = ['plinth', 'bare', 'control'] as const
type Side = (typeof SIDES)[number]

/** Two processes, one of which calls the other. */
interface Ends {
  readonly server: ChildProcess
  readonly caller: ChildProcess
}

/**
 * Calls a resource of another process: by `createClient`, and by a hand-written call with undici of a plain Fastify app, with JSON and validation at both ends.
 * What both processes spend counts together.
 */
export async function measureRemote({ boots }: Options): Promise<CachedRatio[]> {
  const all: Record<Side, Took[]>[] = []
  for (let boot = 0; boot < boots; boot++) {
    progress(`remote: start ${boot + 1} of ${boots}`)
    all.push(await measureBoot())
  }
  const compare = (name: string, first: Side, second: Side): CachedRatio => {
    const rate = (side: Side) =>
      median(all.flatMap((boot) => boot[side].map(({ time }) => (SLICE / time) * 1000)))
    const ratio = (measure: keyof Took) =>
      typicalRatio(all.map((boot) => ratios(boot[first], boot[second], measure)))
    const rates: [number, number] = [rate(first), rate(second)]
    return { name, rates, ratio: ratio('time'), ratioOfCpu: ratio('cpu') }
  }
  return [
    compare('createClient, undici by hand', 'plinth', 'bare'),
    compare('undici by hand, again (control)', 'control', 'bare'),
  ]
}

async function measureBoot(): Promise<Record<Side, Took[]>> {
  const took: Record<Side, Took[]> = { plinth: [], bare: [], control: [] }
  const sides = await Promise.all(SIDES.map(async (side) => [side, await start(side)] as const))
  try {
    for (let turn = -WARM; turn < TURNS; turn++) {
      for (const [side, ends] of rotate(sides, turn + WARM)) {
        const one = await measure(ends)
        if (turn >= 0) took[side].push(one)
      }
    }
    return took
  } finally {
    for (const [, { server, caller }] of sides)
      for (const one of [server, caller]) one.kill('SIGKILL')
  }
}

async function measure({ server, caller }: Ends): Promise<Took> {
  const before = await ask<number>(server)
  const took = await ask<Took>(caller)
  return { ...took, cpu: took.cpu + (await ask<number>(server)) - before }
}

async function ask<T>(child: ChildProcess): Promise<T> {
  child.send(SLICE)
  const [answer] = await once(child, 'message')
  return answer
}

async function start(side: Side): Promise<Ends> {
  const kind = side === 'plinth' ? 'plinth' : 'bare'
  const [server, url] = await startChild(`${kind}-server`)
  const [caller] = await startChild(kind, url)
  return { server, caller }
}

async function startChild(...args: string[]): Promise<[child: ChildProcess, said: string]> {
  const child = fork('bench/remote-child.ts', args, {
    env: productionEnv(),
    execArgv: ['--conditions=plinth-source'],
  })
  const [said] = await once(child, 'message')
  return [child, said]
}

/** The first takes less time where its rate is higher. */
function ratios(first: readonly Took[], second: readonly Took[], measure: keyof Took): number[] {
  return first.map((took, i) => (second[i]?.[measure] ?? Number.NaN) / took[measure])
}
