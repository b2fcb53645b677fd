import * as Flags from '@oclif/core/flags'
import { BaseCommand } from './_base.ts'

export default class Worker extends BaseCommand {
  static override summary = 'Run tasks and schedules'
  static override description =
    'Works on every queue of the service; where PLINTH_MODULES names modules, on those of their resources. Runs until SIGTERM or SIGINT: then it takes no more tasks, those that run finish, what is left after SHUTDOWN_TIMEOUT is handed back to run elsewhere, and it exits 0. Any number of workers share the work; each time of a schedule is one task however many there are.'
  static override examples = [
    '<%= config.bin %> worker',
    '<%= config.bin %> worker --queues default --concurrency 50',
    '<%= config.bin %> worker --no-schedules',
  ]
  static override flags = {
    queues: Flags.string({
      char: 'q',
      description:
        'which queues, with commas between them; default: all that the service declares for the modules that it runs',
    }),
    concurrency: Flags.integer({
      char: 'c',
      min: 1,
      max: 10_000,
      description: 'how many tasks of each queue at once; default: TASK_CONCURRENCY',
    }),
    schedules: Flags.boolean({
      allowNo: true,
      default: true,
      description: 'also start what has a schedule',
    }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(Worker)
    const { work } = await import('./_worker.ts')
    const queues = flags.queues?.split(',').map((queue) => queue.trim())
    await work(this.script, { queues, concurrency: flags.concurrency, schedules: flags.schedules })
  }
}
