import type { QueueCounts } from '../../src/task/types.ts'
import { BaseCommand } from '../_base.ts'
import { sharedTasks } from '../_tasks.ts'

export default class TasksStats extends BaseCommand {
  static override summary = 'Count the tasks of each queue'
  static override examples = [
    '<%= config.bin %> tasks stats',
    '<%= config.bin %> tasks stats --json',
  ]
  static override enableJsonFlag = true

  async run(): Promise<Record<string, QueueCounts>> {
    await this.parse(TasksStats)
    return await this.withApp(async (app) => {
      const { formatTable } = await import('../_print.ts')
      const driver = await sharedTasks(app)
      const queues = await driver.queues()
      const counts = await Promise.all(queues.map((queue) => driver.counts(queue)))
      const titles = ['queue', 'waiting', 'delayed', 'running', 'succeeded', 'failed', '']
      const rows = counts.map((one, i) => [
        queues[i] as string,
        one.waiting,
        one.delayed,
        one.running,
        one.succeeded,
        one.failed,
        one.paused ? 'paused' : '',
      ])
      this.log(rows.length > 0 ? formatTable([titles, ...rows]) : 'there are no tasks')
      return Object.fromEntries(queues.map((queue, i) => [queue, counts[i] as QueueCounts]))
    })
  }
}
