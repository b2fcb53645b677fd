import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { canInstall, findProgram, install } from '../test/servers/program.ts'
import { SetupError } from '../test/servers/ready.ts'
import type { Sandbox } from '../test/servers/sandbox.ts'
import type { Route } from './routes.ts'
import { type Server, token } from './server.ts'

const CONNECTIONS = 32

/**
 * The path of wrk, installed where it is missing and may be.
 *
 * @throws SetupError with what to install
 */
export async function findLoader(sandbox: Sandbox): Promise<string> {
  if (!findProgram(['wrk']) && canInstall()) await install(['wrk'], sandbox)
  const wrk = findProgram(['wrk'])
  if (wrk) return wrk
  throw new SetupError('The benchmarks need wrk: install it (Debian, Ubuntu: apt-get install wrk)')
}

export interface Slice {
  /** Requests answered per second. */
  rate: number
  /** Requests answered per second of the server's time on a CPU. */
  rateOfCpu: number
}

/**
 * Loads one route of a server.
 *
 * @param milliseconds how long, about: wrk looks ten times a second whether to stop
 * @throws {Error} where an answer is no 2xx or a connection fails
 */
export async function load(
  wrk: string,
  server: Server,
  { path, script }: Route,
  milliseconds: number,
): Promise<Slice> {
  const before = server.cpuSeconds()
  const url = `${server.url}${path}`
  const args = ['-t1', `-c${CONNECTIONS}`, '-d60s', ...(script ? ['-s', script] : []), url]
  const child = spawn(wrk, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, BENCH_TOKEN: token },
  })
  const timer = setTimeout(() => child.kill('SIGINT'), milliseconds)
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')])
  clearTimeout(timer)
  const requests = Number(/(\d+) requests in/.exec(output)?.[1])
  const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1])
  if (!(rate > 0) || /Non-2xx|Socket errors/.test(output)) throw new Error(`${url}\n${output}`)
  return { rate, rateOfCpu: requests / (server.cpuSeconds() - before) }
}
