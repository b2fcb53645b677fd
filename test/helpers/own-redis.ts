import { once } from 'node:events'
import { findProgram } from '../servers/program.ts'
import { freePort, untilReady } from '../servers/ready.ts'
import { redis } from '../servers/redis.ts'
import { type Logged, Sandbox } from '../servers/sandbox.ts'

/** A Redis of a test's own, which it may kill, freeze and start again; it keeps its data. */
export interface OwnRedis {
  readonly url: string
  kill(): Promise<void>
  /** With the same data on the same port, and waits until it answers. */
  restart(): Promise<void>
  /** Connections stay, and nothing is answered until it goes on. */
  freeze(): void
  goOn(): void
}

/** Starts a Redis, which is gone when the test or the proof ends. `started` false: it is to be started by `restart`. */
export async function ownRedis(
  t: { teardown(work: () => unknown): void },
  { started = true, args = [] as string[] } = {},
): Promise<OwnRedis> {
  const program = findProgram(redis.programs)
  if (!program) throw new Error(`This test needs a server of its own: install ${redis.package}`)
  const sandbox = new Sandbox()
  t.teardown(() => sandbox.close())
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  const place = ['--bind', '127.0.0.1', '--port', `${port}`, '--dir', sandbox.folder]
  const keep = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'always']
  let server: Logged | undefined
  const current = () => {
    if (!server) throw new Error('it has been started')
    return server.process
  }
  const restart = async () => {
    const starting = sandbox.spawnLogged('redis', program, [...place, ...keep, ...args])
    server = starting
    await untilReady('Redis', starting, () => redis.check(url))
  }
  if (started) await restart()
  return {
    url,
    restart,
    async kill() {
      const ended = once(current(), 'exit')
      current().kill('SIGKILL')
      await ended
    },
    freeze: () => void current().kill('SIGSTOP'),
    goOn: () => void current().kill('SIGCONT'),
  }
}
