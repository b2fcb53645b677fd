import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { newTaskId } from '../../src/task/id.ts'
import type {
  NewTask,
  Perform,
  Run,
  TaskDriver,
  TaskTree,
  Working,
  WorkOptions,
} from '../../src/task/types.ts'

/** A driver under test: `open` gives one that is closed when the test ends, and `again` another one with the same tasks. */
export interface DriverUnderTest {
  name: string
  /** @param kept how many that have ended are kept, of those that say nothing else; default: as in a service */
  open(t: Test, kept?: number): Promise<{ driver: TaskDriver; again: () => TaskDriver }>
}

export function task({
  queue = 'default',
  resource = 'cities.import',
  input = {},
  ...options
}: Partial<NewTask['options']> & {
  queue?: string
  resource?: string
  input?: unknown
} = {}): NewTask {
  return {
    id: newTaskId(queue),
    queue,
    data: { resource, input, user: null, requestId: 'a1' },
    options: { attempts: 1, backoff: { type: 'fixed', delay: 10 }, delay: 0, ...options },
  }
}

export function tree(root: NewTask, children: readonly TaskTree[] = []): TaskTree {
  return { ...root, children: [...children] }
}

/** Works until the test ends, if it is not stopped before. */
export async function work(
  t: Test,
  driver: TaskDriver,
  perform: Perform,
  options: Partial<WorkOptions> = {},
): Promise<Working> {
  const working = await driver.work({ queues: ['default'], concurrency: 10, perform, ...options })
  t.teardown(() => working.stop(0))
  return working
}

/** Runs until its signal is aborted, then throws the reason. */
export async function untilAborted({ signal }: Run): Promise<never> {
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(signal.reason)
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort)
  return await aborted.promise
}

/** Waits until `look` answers with something true; fails after a minute. */
export async function until<T>(look: () => T | Promise<T>): Promise<NonNullable<T>> {
  for (const end = Date.now() + 60_000; Date.now() < end; await delay(10)) {
    const found = await look()
    if (found) return found
  }
  throw new Error(`It did not come to this within a minute: ${look}`)
}

export async function stateOf(driver: TaskDriver, { id }: NewTask) {
  return (await driver.get(id))?.state
}

/** A perform that waits for `release`, and tells what has begun. */
export function gate() {
  const begun: Run[] = []
  const open = Promise.withResolvers<void>()
  const perform: Perform = async (run) => {
    begun.push(run)
    await open.promise
    return run.data.input
  }
  return { begun, perform, release: open.resolve }
}
