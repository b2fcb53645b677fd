import * as Args from '@oclif/core/args'
import { CLIError } from '@oclif/core/errors'
import * as Flags from '@oclif/core/flags'
import type { TaskDriver } from '../../src/task/types.ts'
import { BaseCommand } from '../_base.ts'
import { changeEach, sharedTasks } from '../_tasks.ts'

const PAGE = 500

export default class TasksRetry extends BaseCommand {
  static override summary = 'Run failed tasks again'
  static override description =
    'They are put back into their queue, with all of their tries before them.'
  static override examples = [
    '<%= config.bin %> tasks retry default.0b0e6c2a',
    '<%= config.bin %> tasks retry --all --queue mail',
  ]
  static override enableJsonFlag = true
  static override strict = false
  static override args = { id: Args.string({ description: 'a task_id, or several' }) }
  static override flags = {
    all: Flags.boolean({ description: 'every task that has failed' }),
    crashed: Flags.boolean({
      dependsOn: ['all'],
      description: 'those instead that were given up as their processes died',
    }),
    queue: Flags.string({ dependsOn: ['all'], description: 'only those of this queue' }),
  }

  async run(): Promise<{ retried: number }> {
    const { argv, flags } = await this.parse(TasksRetry)
    if (argv.length > 0 === (flags.all ?? false))
      throw new CLIError('name tasks, or say --all', { exit: 2 })
    return await this.withApp(async (app) => {
      const driver = await sharedTasks(app)
      const dead = flags.crashed ? 'crashed' : 'failed'
      const ids = flags.all ? await allOf(driver, dead, flags.queue) : (argv as string[])
      const retry = (id: string) => driver.retry(id)
      const retried = await changeEach(app, ids, retry, ({ id, state }) =>
        this.logToStderr(`${id} is ${state}: only what has failed is run again`),
      )
      this.log(`put back ${retried} of ${ids.length}`)
      return { retried }
    })
  }
}

async function allOf(
  driver: TaskDriver,
  state: 'failed' | 'crashed',
  queue: string | undefined,
): Promise<string[]> {
  const ids: string[] = []
  for (const name of queue === undefined ? await driver.queues() : [queue]) {
    for (let start = 0; ; start += PAGE) {
      const page = await driver.list(name, state, start, start + PAGE - 1)
      ids.push(...page.map(({ id }) => id))
      if (page.length < PAGE) break
    }
  }
  return ids
}
