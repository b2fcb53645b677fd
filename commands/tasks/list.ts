import * as Flags from '@oclif/core/flags'
import type { TaskRecord, TaskState } from '../../src/task/types.ts'
import { BaseCommand } from '../_base.ts'
import { sharedTasks, taskRow } from '../_tasks.ts'

const STATES = [
  'waiting',
  'delayed',
  'running',
  'succeeded',
  'failed',
  'crashed',
  'cancelled',
] as const
const DEAD: readonly TaskState[] = ['failed', 'crashed']

export default class TasksList extends BaseCommand {
  static override summary = 'List tasks by where they are'
  static override description =
    'The newest first. Those that have failed, or were given up as their processes died (crashed), stay for two weeks: what is left to look into (the dead letters).'
  static override examples = [
    '<%= config.bin %> tasks list',
    '<%= config.bin %> tasks list --state waiting --queue mail',
    '<%= config.bin %> tasks list --state failed --limit 100 --json',
  ]
  static override enableJsonFlag = true
  static override flags = {
    state: Flags.option({ options: STATES })({
      description: 'where they are; default: failed and crashed',
    }),
    queue: Flags.string({ description: 'default: every queue' }),
    limit: Flags.integer({ min: 1, max: 1000, default: 20, description: 'of each queue at most' }),
  }

  async run(): Promise<TaskRecord[]> {
    const { flags } = await this.parse(TasksList)
    return await this.withApp(async (app) => {
      const { formatTable } = await import('../_print.ts')
      const driver = await sharedTasks(app)
      const queues = flags.queue === undefined ? await driver.queues() : [flags.queue]
      const states = flags.state === undefined ? DEAD : [flags.state]
      const lists = queues.flatMap((queue) =>
        states.map((state) => driver.list(queue, state, 0, flags.limit - 1)),
      )
      const records = (await Promise.all(lists)).flat()
      if (records.length > 0) this.log(formatTable(records.map(taskRow)))
      else this.logToStderr(`no task is ${states.join(' or ')}`)
      return records
    })
  }
}
