import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { findProgram } from '../servers/program.ts'
import { freePort, untilReady } from '../servers/ready.ts'
import { redis } from '../servers/redis.ts'
import { Sandbox } from '../servers/sandbox.ts'
import { ownRedis } from './own-redis.ts'
import type { OwnServer } from './own-server.ts'

/** A master with a replica, and the Sentinels that look after both. */
export interface OwnSentinel {
  /** `redis+sentinel://…/main`; the first host of it is none. */
  readonly url: string
  readonly first: OwnServer
  readonly second: OwnServer
  /** The address of the first Sentinel. */
  readonly sentinel: string
  /** Makes the other one the master, as before maintenance: nobody is killed. */
  failover(): Promise<void>
  /** The port of the master, as the Sentinels see it. */
  master(): Promise<number>
}

// A replica gets the data at once, not after the five seconds in which more of them could come.
const AT_ONCE = ['--repl-diskless-sync-delay', '0']

/**
 * Starts all of it, which is gone when the test or the proof ends.
 *
 * @param downAfter milliseconds without an answer after which a master is taken for dead: on a busy machine it may be late
 */
export async function ownSentinel(
  t: { teardown(work: () => unknown): void },
  { sentinels = 1, downAfter = 10_000 } = {},
): Promise<OwnSentinel> {
  const first = await ownRedis(t, { args: AT_ONCE })
  const port = Number(new URL(first.url).port)
  const second = await ownRedis(t, { args: [...AT_ONCE, '--replicaof', '127.0.0.1', `${port}`] })
  const sandbox = new Sandbox()
  t.teardown(() => sandbox.close())
  const ports: number[] = []
  for (let n = 1; n <= sentinels; n++) {
    const own = await freePort()
    ports.push(own)
    const file = join(sandbox.folder, `sentinel-${n}.conf`)
    const lines = [
      ...[`port ${own}`, 'bind 127.0.0.1', `dir ${sandbox.folder}`],
      `sentinel monitor main 127.0.0.1 ${port} ${Math.floor(sentinels / 2) + 1}`,
      `sentinel down-after-milliseconds main ${downAfter}`,
      'sentinel failover-timeout main 5000',
    ]
    writeFileSync(file, lines.join('\n'))
    const program = findProgram(redis.programs) as string
    const server = sandbox.spawnLogged(`sentinel-${n}`, program, [file, '--sentinel'])
    await untilReady('Sentinel', server, () => redis.check(`redis://127.0.0.1:${own}`))
    // Not before it knows all others, and the replica as one that could take over.
    await untilReady('Sentinel', server, () => ask(own, sees(ports.length - 1)))
  }
  const own = ports[0] as number
  return {
    url: `redis+sentinel://127.0.0.1:1,${ports.map((port) => `127.0.0.1:${port}`).join(',')}/main`,
    first,
    second,
    sentinel: `127.0.0.1:${own}`,
    failover: () =>
      ask(own, async (client) => void (await client.call('SENTINEL', 'FAILOVER', 'main'))),
    master: () =>
      ask(own, async (client) => {
        const [, port] = (await client.call(
          'SENTINEL',
          'GET-MASTER-ADDR-BY-NAME',
          'main',
        )) as string[]
        return Number(port)
      }),
  }
}

function sees(others: number) {
  return async (client: Redis) => {
    const [replica] = (await client.call('SENTINEL', 'REPLICAS', 'main')) as string[][]
    const of = (name: string) => replica?.[replica.indexOf(name) + 1]
    const peers = (await client.call('SENTINEL', 'SENTINELS', 'main')) as unknown[]
    const isReady = of('flags') === 'slave' && of('master-link-status') === 'ok'
    if (!isReady || peers.length < others) throw new Error('it does not know all of them yet')
  }
}

async function ask<T>(port: number, question: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis({ port, host: '127.0.0.1', retryStrategy: () => null })
  client.on('error', () => {})
  try {
    return await question(client)
  } finally {
    client.disconnect()
  }
}
