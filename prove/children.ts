import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { ENV, nodeOptions } from '../test/helpers/manage.ts'
import type { Reply } from './answer.ts'
import type { ProofOptions } from './proof.ts'

/** Milliseconds that an answer may take before it counts as hanging. */
const PATIENCE = 120_000

/** A process that runs a service, and does what it is told. */
export interface Child {
  /** Does what answer.ts has under this name there, and returns its result. */
  ask<T>(order: string, value?: unknown): Promise<T>
  /** At once, and waits until it has ended. */
  kill(): Promise<void>
  readonly pid: number
  /** Resolves when it has ended. */
  readonly ended: Promise<unknown>
}

/**
 * Starts `prove/<name>-child.ts` as in production, and waits until it answers.
 *
 * @param env beside what every process needs
 */
export async function startChild(
  { folder, teardown }: Pick<ProofOptions, 'folder' | 'teardown'>,
  name: string,
  env: Readonly<Record<string, string>>,
): Promise<Child> {
  const { PATH = '', HOME = '' } = process.env
  const file = join(import.meta.dirname, `${name}-child.ts`)
  const command = [nodeOptions('--conditions=plinth-source'), process.execPath, file]
  const child = spawn(ENV, command, {
    cwd: folder,
    // Many are started: those that end by themselves leave the others what they have compiled.
    env: { PATH, HOME, NODE_ENV: 'production', NODE_COMPILE_CACHE: join(folder, 'cache'), ...env },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const ended = once(child, 'exit')
  const kill = async () => {
    child.kill('SIGKILL')
    await ended
  }
  teardown(kill)
  await Promise.race([once(child, 'message'), failure(ended, name)])
  return { ask: asker(child, failure(ended, name)), pid: child.pid as number, kill, ended }
}

async function failure(ended: Promise<unknown[]>, name: string): Promise<never> {
  throw new Error(`a process of ${name} has ended: ${(await ended).join(' ')}`)
}

function asker(child: ChildProcess, failed: Promise<never>): Child['ask'] {
  // Whoever asks is told; nobody may be asking.
  failed.catch(() => {})
  let last = 0
  return async <T>(order: string, value?: unknown) => {
    const id = ++last
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const timer = setTimeout(() => reject(new Error(`${order}: the process hangs`)), PATIENCE)
    const take = (reply: Reply) => {
      if (reply.id !== id) return
      if (reply.failed === undefined) resolve(reply.value as T)
      else reject(new Error(`${order}: ${reply.failed}`))
    }
    child.on('message', take)
    try {
      child.send({ id, order, value }, (error) => error && reject(error))
      return await Promise.race([promise, failed])
    } finally {
      clearTimeout(timer)
      child.off('message', take)
    }
  }
}
