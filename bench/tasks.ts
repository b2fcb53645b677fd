import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { attach } from '../test/servers/attach.ts'
import { execute, mysql } from '../test/servers/mysql.ts'
import { progress } from '../test/servers/ready.ts'
import { redis } from '../test/servers/redis.ts'
import type { Sandbox } from '../test/servers/sandbox.ts'
import type { CachedRatio } from './cached.ts'
import type { Took } from './calling.ts'
import type { Options } from './options.ts'
import { productionEnv } from './server.ts'
import { median, typicalRatio } from './statistics.ts'
import type { Wanted } from './tasks-child.ts'
import { rotate } from './throughput.ts'

/** Turns before it is measured: code is compiled then. */
const WARM = 10
/** How many tasks a side has in its turn. */
const SLICE = 1000
/** A database takes longer. */
const FEW = 200
const SIDES = ['plinth', 'bullmq', 'control', 'mysql'] as const
type Side = (typeof SIDES)[number]

/** What is measured: a side, and what it does. */
const TURNS = {
  plinth: { side: 'plinth', how: 'each', count: SLICE },
  bullmq: { side: 'bullmq', how: 'each', count: SLICE },
  control: { side: 'control', how: 'each', count: SLICE },
  enqueueMany: { side: 'plinth', how: 'many', count: SLICE },
  addBulk: { side: 'bullmq', how: 'many', count: SLICE },
  'enqueueMany alone': { side: 'plinth', how: 'added', count: SLICE },
  'addBulk alone': { side: 'bullmq', how: 'added', count: SLICE },
  mysql: { side: 'mysql', how: 'each', count: FEW },
  'mysql, enqueueMany': { side: 'mysql', how: 'many', count: FEW },
} as const satisfies Record<string, Wanted & { side: Side }>
type Turn = keyof typeof TURNS
const ALL = Object.keys(TURNS) as Turn[]

/**
 * Enqueues and runs empty tasks, with the kit and with BullMQ alone, in turns. Each side has one process that does both,
 * as many at once, on the same Redis: what it costs to add a task and to run it counts together, and nothing
 * but Redis has the machine beside it. The same with the kit on MariaDB.
 */
export async function measureTasks(sandbox: Sandbox, options: Options): Promise<CachedRatio[]> {
  const { TEST_REDIS_URL = '', TEST_MYSQL_URL = '' } = await attach([redis, mysql], sandbox)
  const database = `plinth_bench_tasks_${process.pid}`
  const { href } = Object.assign(new URL(TEST_MYSQL_URL), { pathname: `/${database}` })
  const turns = Math.ceil(options.tasks / options.boots / SLICE)
  const boots: Record<Turn, Took[]>[] = []
  for (let boot = 0; boot < options.boots; boot++) {
    progress(`tasks: start ${boot + 1} of ${options.boots}`)
    await execute(TEST_MYSQL_URL, `create database ${database}`)
    const urlOf = (side: Side) => (side === 'mysql' ? href : TEST_REDIS_URL)
    boots.push(await measureBoot(urlOf, turns))
    await execute(TEST_MYSQL_URL, `drop database ${database}`)
  }
  const compare = (name: string, first: Turn, second: Turn): CachedRatio => {
    const rate = (turn: Turn) =>
      median(
        boots.flatMap((boot) => boot[turn].map(({ time }) => (TURNS[turn].count / time) * 1000)),
      )
    const ratio = (measure: keyof Took) =>
      typicalRatio(boots.map((boot) => ratios(boot, first, second, measure)))
    const rates: [number, number] = [rate(first), rate(second)]
    return { name, rates, ratio: ratio('time'), ratioOfCpu: ratio('cpu') }
  }
  return [
    compare('plinth, BullMQ alone', 'plinth', 'bullmq'),
    compare('BullMQ alone, again (control)', 'control', 'bullmq'),
    compare('enqueueMany, addBulk', 'enqueueMany', 'addBulk'),
    compare('enqueueMany, addBulk: enqueued alone', 'enqueueMany alone', 'addBulk alone'),
    compare('plinth on MariaDB, on Redis', 'mysql', 'plinth'),
    compare('enqueueMany on MariaDB, on Redis', 'mysql, enqueueMany', 'enqueueMany'),
  ]
}

async function measureBoot(
  urlOf: (side: Side) => string,
  turns: number,
): Promise<Record<Turn, Took[]>> {
  const took = Object.fromEntries(ALL.map((turn) => [turn, []])) as never as Record<Turn, Took[]>
  const started = await Promise.all(
    SIDES.map(async (side) => [side, await start(side, urlOf(side))] as const),
  )
  const children = new Map<Side, ChildProcess>(started)
  try {
    for (let round = -WARM; round < turns; round++) {
      for (const turn of rotate(ALL, round + WARM)) {
        const { side, ...wanted } = TURNS[turn]
        const child = children.get(side) as ChildProcess
        child.send(wanted)
        const [answer] = await once(child, 'message')
        if (round >= 0) took[turn].push(answer)
      }
    }
    return took
  } finally {
    for (const child of children.values()) child.kill('SIGKILL')
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

/** The first takes less time for a task where its rate is higher. */
function ratios(
  took: Record<Turn, Took[]>,
  first: Turn,
  second: Turn,
  measure: keyof Took,
): number[] {
  const perTask = (turn: Turn, one?: Took) => (one?.[measure] ?? Number.NaN) / TURNS[turn].count
  return took[first].map((one, i) => perTask(second, took[second][i]) / perTask(first, one))
}
