import { once } from 'node:events'
import { openSync, readdirSync, readFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createSigner } from 'fast-jwt'
import { freePort, SetupError } from '../test/servers/ready.ts'
import type { Sandbox } from '../test/servers/sandbox.ts'

const ROOT = join(import.meta.dirname, '..')
const PATIENCE = 20_000
const JWT_KEY = 'the key of the benchmarks, and of nothing else'

/** Of a user, for the routes that change something: of Atlas, and of the plain application. */
export const token = createSigner({ key: JWT_KEY, aud: 'atlas', expiresIn: 86_400_000 })({
  sub: 'ann',
  tenant: 'north',
})

/** A server process that has answered. */
export interface Server {
  url: string
  /** Milliseconds from its start to its first answer. */
  started: number
  /** Seconds on a CPU, all threads together, of it and the processes that it has started. */
  cpuSeconds(): number
  /** Resident memory in MB, likewise. */
  memory(): number
  /** Ends it and waits until it has. */
  stop(signal: NodeJS.Signals): Promise<void>
}

/**
 * Starts a server and waits for its first answer to /ping.
 *
 * @param args of Node.js
 * @param env added to what every server gets
 * @throws SetupError with its log
 */
export async function startServer(
  sandbox: Sandbox,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Server> {
  const port = await freePort()
  const log = join(sandbox.folder, `${port}.log`)
  const file = openSync(log, 'w')
  const began = performance.now()
  const child = sandbox.spawn(process.execPath, args, {
    cwd: ROOT,
    env: { ...productionEnv(), ...env, PORT: `${port}` },
    stdio: ['ignore', file, file],
  })
  const url = `http://127.0.0.1:${port}`
  const ended = once(child, 'exit')
  while (!(await answers(`${url}/ping`))) {
    if (child.exitCode !== null || performance.now() - began > PATIENCE)
      throw new SetupError(`node ${args.join(' ')} does not answer:\n${readFileSync(log, 'utf8')}`)
    await sleep(2)
  }
  const started = performance.now() - began
  const { pid } = child
  return {
    url,
    started,
    cpuSeconds: () => cpuSeconds(pid as number),
    memory: () => memory(pid as number),
    async stop(signal) {
      child.kill(signal)
      await ended
    },
  }
}

/** What a process of the benchmarks gets of the environment: the tests' and the developer's variables stay out. */
export function productionEnv(): Record<string, string> {
  const { PATH = '', HOME = '' } = process.env
  const service = 'examples/atlas'
  // Nothing is answered from the cache: it is the work that is compared.
  const server = {
    HOST: '127.0.0.1',
    NODE_ENV: 'production',
    LOG_LEVEL: 'warn',
    CACHE_MEMORY: '0',
    JWT_KEY,
  }
  return { PATH, HOME, PLINTH_SERVICE: service, ...server }
}

function answers(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    request.on('error', () => resolve(false))
  })
}

function cpuSeconds(pid: number): number {
  return family(pid).reduce((sum, one) => sum + ownCpuSeconds(one), 0)
}

function ownCpuSeconds(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`)
  // Nanoseconds on a CPU, nanoseconds of waiting for one, turns.
  const spent = threads.map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ', 1)[0]),
  )
  return spent.reduce((sum, one) => sum + one, 0) / 1e9
}

/** A process and those that it has started. */
function family(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return [pid, ...(text ? text.split(' ').flatMap((child) => family(Number(child))) : [])]
}

function memory(pid: number): number {
  return family(pid).reduce((sum, one) => sum + ownMemory(one), 0)
}

function ownMemory(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024
}

/** Where a service says that it listens. @param stdout of `manage serve` @throws where it ends before */
export async function addressOf(stdout: AsyncIterable<Buffer>): Promise<string> {
  let said = ''
  for await (const chunk of stdout) {
    said += chunk
    const [, url] = /Server listening at (http:\/\/[\d.:]+)/.exec(said) ?? []
    if (url) return url
  }
  throw new Error(`it has not listened:\n${said}`)
}
