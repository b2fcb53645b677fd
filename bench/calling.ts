// What the processes that call others, and are called, have in common.
import type { FastifyInstance } from 'fastify'
import { createApp, defineService } from '../src/index.ts'
import type { ModuleTable } from '../src/resource/module.ts'

/** What calls have taken. */
export interface Took {
  /** Milliseconds. */
  time: number
  /** Milliseconds on a CPU. */
  cpu: number
}

/** What is measured. */
export interface Caller {
  /** @param count which call it is, from 1 */
  call(count: number): Promise<unknown>
  /** In what each of those runs that call one after the other; default: in nothing. */
  within?(work: () => Promise<void>): Promise<void>
}

/** Which part this process has, and the URL of what it calls. */
export const [side = '', url = ''] = process.argv.slice(2)

/** Milliseconds on a CPU. */
export function spent(since?: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since)
  return (user + system) / 1000
}

/** Is of use to the process that has started this one, by what it says and answers, and ends with it. */
export function beAsked(ready: string, answer: (count: number) => unknown): void {
  process.on('message', async (count: number) => process.send?.(await answer(count)))
  process.on('disconnect', () => process.exit())
  process.send?.(ready)
}

/** Makes `count` calls, so many at once. */
export async function measureCalls(
  { call, within = (work) => work() }: Caller,
  atOnce: number,
  count: number,
): Promise<Took> {
  const began = performance.now()
  const before = process.cpuUsage()
  let next = 0
  const lane = async () => {
    while (next < count) await call(++next)
  }
  await Promise.all(Array.from({ length: atOnce }, () => within(lane)))
  return { time: performance.now() - began, cpu: spent(before) }
}

/** A service as in production that logs nothing, ready. */
export async function startService(name: string, modules: ModuleTable): Promise<FastifyInstance> {
  const env = { NODE_ENV: 'production', LOG_LEVEL: 'silent', CONTRACT: 'true' }
  const app = (await createApp(defineService({ name, modules }), {
    env,
  })) as unknown as FastifyInstance
  await app.ready()
  return app
}
