import { findProgram } from '../servers/program.ts'
import { freePort, untilReady } from '../servers/ready.ts'
import { redis } from '../servers/redis.ts'
import { Sandbox } from '../servers/sandbox.ts'
import { type OwnServer, ownServer } from './own-server.ts'

/** Starts a Redis, which is gone when the test or the proof ends. `started` false: it is to be started by `restart`. */
export async function ownRedis(
  t: { teardown(work: () => unknown): void },
  { started = true, args = [] as string[] } = {},
): Promise<OwnServer> {
  const program = findProgram(redis.programs)
  if (!program) throw new Error(`This test needs a server of its own: install ${redis.package}`)
  const sandbox = new Sandbox()
  t.teardown(() => sandbox.close())
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  const place = ['--bind', '127.0.0.1', '--port', `${port}`, '--dir', sandbox.folder]
  // What a process has written outlives it without waiting for the disk, too.
  const keep = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'no']
  const own = ownServer(
    url,
    () => sandbox.spawnLogged('redis', program, [...place, ...keep, ...args]),
    (server) => untilReady('Redis', server, () => redis.check(url)),
  )
  if (started) await own.restart()
  return own
}
