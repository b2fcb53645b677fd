import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { hostname } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { ENV, nodeOptions } from '../helpers/manage.ts'

const CHILD = fileURLToPath(new URL('./worker-child.ts', import.meta.url))

/** Where tasks are that processes share; in a database the prefix is empty. */
export type TaskPlace = readonly [url: string, prefix: string]

/** A process that works on the tasks of a place, and says which it runs. @param lock ms for which it has a task without a sign of life */
export function startWorker(t: Test, place: TaskPlace, lock = 500) {
  const options = nodeOptions('--conditions=plinth-source')
  const args = [options, process.execPath, CHILD, ...place, `${lock}`]
  const child = spawn(ENV, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const kill = async () => {
    child.kill('SIGKILL')
    await exited
  }
  t.teardown(kill)
  return { ran: createInterface(child.stdout), kill, name: `${hostname()}:${child.pid}` }
}
