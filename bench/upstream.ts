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
const SLICE = 3000
/** Turns before it is measured: code is compiled then. */
const WARM = 5
const SIDES = ['plinth', 'undici', 'control', 'free', 'besides'] as const
type Side = (typeof SIDES)[number]

/**
 * Calls a resource of an API, beside the same by a pool of undici, with JSON, in turns: each side has a process of its own, and one more is the other
 * system. And an unrelated route, alone and beside as many calls of a system that never answers as may wait for it.
 */
export async function measureUpstream(options: Options): Promise<CachedRatio[]> {
  const boots: Record<Side, Took[]>[] = []
  for (let boot = 0; boot < options.boots; boot++) {
    progress(`upstream: start ${boot + 1} of ${options.boots}`)
    boots.push(await measureBoot(options.slices * 2))
  }
  const compare = (name: string, first: Side, second: Side): CachedRatio => {
    const rate = (side: Side) =>
      median(boots.flatMap((boot) => boot[side].map(({ time }) => (SLICE / time) * 1000)))
    const ratio = (measure: keyof Took) =>
      typicalRatio(
        boots.map((boot) =>
          boot[first].map((took, i) => (boot[second][i]?.[measure] ?? Number.NaN) / took[measure]),
        ),
      )
    const rates: [number, number] = [rate(first), rate(second)]
    return { name, rates, ratio: ratio('time'), ratioOfCpu: ratio('cpu') }
  }
  return [
    compare('a resource of an API, undici alone', 'plinth', 'undici'),
    compare('undici alone, again (control)', 'control', 'undici'),
    compare('an unrelated route beside an API that hangs, alone', 'besides', 'free'),
  ]
}

async function measureBoot(turns: number): Promise<Record<Side, Took[]>> {
  const took: Record<Side, Took[]> = { plinth: [], undici: [], control: [], free: [], besides: [] }
  const { child: system, ready: url } = await start('system', '')
  const sides = await Promise.all(
    SIDES.map(async (side) => [side, (await start(side, url)).child] as const),
  )
  try {
    for (let turn = -WARM; turn < turns; turn++) {
      for (const [side, child] of rotate(sides, turn + WARM)) {
        child.send(SLICE)
        const [answer] = await once(child, 'message')
        if (turn >= 0) took[side].push(answer)
      }
    }
    return took
  } finally {
    for (const child of [system, ...sides.map(([, child]) => child)]) child.kill('SIGKILL')
  }
}

async function start(
  side: Side | 'system',
  url: string,
): Promise<{ child: ChildProcess; ready: string }> {
  const child = fork('bench/upstream-child.ts', [side, url], {
    env: productionEnv(),
    execArgv: ['--conditions=plinth-source'],
  })
  const [ready] = await once(child, 'message')
  return { child, ready }
}
