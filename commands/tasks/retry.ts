import * as Args from '@oclif/core/args'
import { CLIError } from '@oclif/core/errors'
import * as Flags from '@oclif/core/flags'
import type { TaskDriver } from '../../src/task/types.ts'
import { BaseCommand } from '../_base.ts'
import { sharedTasks } from '../_tasks.ts'

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
    queue: Flags.string({ dependsOn: ['all'], description: 'only those of this queue' }),
  }

  async run(): Promise<{ retried: number }> {
    const { argv, flags } = await this.parse(TasksRetry)
    if (argv.length > 0 === (flags.all ?? false))
      throw new CLIError('name tasks, or say --all', { exit: 2 })
    return await this.withApp(async (app) => {
      const driver = await sharedTasks(app)
      const ids = flags.all ? await failed(driver, flags.queue) : (argv as string[])
      let retried = 0
      for (const id of ids) {
        const { state } = await app.tasks.find(id)
        if (await driver.retry(id)) retried++
        else this.logToStderr(`${id} is ${state}: only what has failed is run again`)
      }
      this.log(`put back ${retried} of ${ids.length}`)
      if (retried < ids.length) process.exitCode = 1
      return { retried }
    })
  }
}

async function failed(driver: TaskDriver, queue: string | undefined): Promise<string[]> {
  const ids: string[] = []
  for (const name of queue === undefined ? await driver.queues() : [queue]) {
    for (let start = 0; ; start += PAGE) {
      const page = await driver.list(name, 'failed', start, start + PAGE - 1)
      ids.push(...page.map(({ id }) => id))
      if (page.length < PAGE) break
    }
  }
  return ids
}
