import { CLIError } from '@oclif/core/errors'
import { endWhenStuck, fail, stay } from './_stay.ts'
import { sharedTasks } from './_tasks.ts'

export interface Work {
  /** Default: all that the service declares, of the modules that this process runs. */
  queues: readonly string[] | undefined
  /** Default: TASK_CONCURRENCY. */
  concurrency: number | undefined
  schedules: boolean
}

/**
 * Works on the tasks of the service that the script belongs to, until a signal ends the process, or too many of them go on after
 * their time.
 *
 * @param script the real path of the script that was started
 * @throws {PlinthError} REDIS_MISSING, and what `createApp` throws
 * @throws {CLIError} wrong usage: the service has no such queue
 */
export async function work(
  script: string,
  { concurrency, schedules, ...wanted }: Work,
): Promise<void> {
  await stay(script, async (app, ending) => {
    await sharedTasks(app)
    const queues = wanted.queues ?? [...app.tasks.ownQueues]
    assertDeclared(queues, app.tasks.queues)
    concurrency ??= app.config.TASK_CONCURRENCY
    await app.tasks.work({ queues, concurrency, schedules })
    app.log.info({ queues }, 'working on tasks')
    void endWhenStuck(app, () => fail(ending))
  })
}

function assertDeclared(queues: readonly string[], declared: ReadonlySet<string>): void {
  const unknown = queues.filter((queue) => !declared.has(queue))
  if (unknown.length === 0) return
  const names = (list: Iterable<string>) =>
    Array.from(list, (name) => JSON.stringify(name)).join(', ')
  throw new CLIError(
    `the service has no queue ${names(unknown)}; there are ${names(declared)}. A resource names one in task.queue, the service others in taskQueues`,
    { exit: 2 },
  )
}
