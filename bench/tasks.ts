import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { attach } from '../test/servers/attach.ts'
import { progress } from '../test/servers/ready.ts'
import { redis } from '../test/servers/redis.ts'
import type { Sandbox } from '../test/servers/sandbox.ts'
import type { CachedRatio } from './cached.ts'
import type { Took } from './calling.ts'
import type { Options } from './options.ts'
import { productionEnv } from './server.ts'
import { median, typicalRatio } from './statistics.ts'
import { rotate } from './throughput.ts'

/** How many tasks each side runs in its turn. */
const SLICE = 1000
/** Turns before it is measured: code is compiled then. */
const WARM = 10
const SIDES = ['plinth', 'bullmq', 'control'] as const
type Side = (typeof SIDES)[number]

/**
 * Enqueues and runs empty tasks, with the kit and with BullMQ alone, in turns. Each side has one process that does both,
 * as many at once, on the same Redis: what it costs to add a task and to run it counts together, and nothing
 * but Redis has the machine beside it.
 */
export async function measureTasks(sandbox: Sandbox, options: Options): Promise<CachedRatio[]> {
  const { TEST_REDIS_URL: url = '' } = await attach([redis], sandbox)
  const turns = Math.ceil(options.tasks / options.boots / SLICE)
  const boots: Record<Side, Took[]>[] = []
  for (let boot = 0; boot < options.boots; boot++) {
    progress(`tasks: start ${boot + 1} of ${options.boots}`)
    boots.push(await measureBoot(url, turns))
  }
  const compare = (name: string, first: Side, second: Side): CachedRatio => {
    const rate = (side: Side) =>
      median(boots.flatMap((boot) => boot[side].map(({ time }) => (SLICE / time) * 1000)))
    const ratio = (measure: keyof Took) =>
      typicalRatio(boots.map((boot) => ratios(boot[first], boot[second], measure)))
    const rates: [number, number] = [rate(first), rate(second)]
    return { name, rates, ratio: ratio('time'), ratioOfCpu: ratio('cpu') }
  }
  return [
    compare('plinth, BullMQ alone', 'plinth', 'bullmq'),
    compare('BullMQ alone, again (control)', 'control', 'bullmq'),
  ]
}

async function measureBoot(url: string, turns: number): Promise<Record<Side, Took[]>> {
  const took: Record<Side, Took[]> = { plinth: [], bullmq: [], control: [] }
  const children = await Promise.all(
    SIDES.map(async (side) => [side, await start(side, url)] as const),
  )
  try {
    for (let turn = -WARM; turn < turns; turn++) {
      for (const [side, child] of rotate(children, turn + WARM)) {
        child.send(SLICE)
        const [answer] = await once(child, 'message')
        if (turn >= 0) took[side].push(answer)
      }
    }
    return took
  } finally {
    for (const [, child] of children) child.kill('SIGKILL')
  }
}

async function start(side: Side, url: string): Promise<ChildProcess> {
  const prefix = `plinth-bench-${process.pid}-${side}`
  const child = fork('bench/tasks-child.ts', [side, prefix, url], {
    env: productionEnv(),
    execArgv: ['--conditions=plinth-source'],
  })
  await once(child, 'message')
  return child
}

/** The first takes less time where its rate is higher. */
function ratios(first: readonly Took[], second: readonly Took[], measure: keyof Took): number[] {
  return first.map((took, i) => (second[i]?.[measure] ?? Number.NaN) / took[measure])
}
