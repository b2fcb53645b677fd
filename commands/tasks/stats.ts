import { BaseCommand } from '../_base.ts'
import { type QueueStats, sharedTasks, statsOf } from '../_tasks.ts'

export default class TasksStats extends BaseCommand {
  static override summary = 'Count the tasks of each queue'
  static override description =
    'And how long they wait, in seconds: `oldest` is how long the next one has waited until now, `latency` how long the last ones waited until they began (half of them less).'
  static override examples = [
    '<%= config.bin %> tasks stats',
    '<%= config.bin %> tasks stats --json',
  ]
  static override enableJsonFlag = true

  async run(): Promise<Record<string, QueueStats>> {
    await this.parse(TasksStats)
    return await this.withApp(async (app) => {
      const { formatTable } = await import('../_print.ts')
      const driver = await sharedTasks(app)
      const queues = await driver.queues()
      const stats = await Promise.all(
        queues.map(async (queue) => [queue, await statsOf(driver, queue)] as const),
      )
      const rows = stats.map(([queue, one]) => [
        queue,
        one.waiting,
        one.delayed,
        one.running,
        one.succeeded,
        one.failed,
        one.crashed,
        one.oldest ?? '-',
        one.latency ?? '-',
        one.paused ? 'paused' : '',
      ])
      this.log(rows.length > 0 ? formatTable([TITLES, ...rows]) : 'there are no tasks')
      return Object.fromEntries(stats)
    })
  }
}

const TITLES = [
  ...['queue', 'waiting', 'delayed', 'running', 'succeeded', 'failed', 'crashed'],
  ...['oldest', 'latency', ''],
]
