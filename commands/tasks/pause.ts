import * as Args from '@oclif/core/args'
import { BaseCommand } from '../_base.ts'
import { pauseQueues } from '../_tasks.ts'

export default class TasksPause extends BaseCommand {
  static override summary = 'Pause queues'
  static override description =
    'For all processes. Tasks that run go on; what is enqueued waits until the queue is resumed.'
  static override examples = ['<%= config.bin %> tasks pause mail']
  static override strict = false
  static override args = {
    queue: Args.string({ required: true, description: 'its name, or several' }),
  }

  async run(): Promise<void> {
    const { argv } = await this.parse(TasksPause)
    await this.withApp(async (app) => {
      await pauseQueues(app, argv as string[], true)
      this.log(`paused ${argv.join(', ')}`)
    })
  }
}
