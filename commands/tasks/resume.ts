import * as Args from '@oclif/core/args'
import { BaseCommand } from '../_base.ts'
import { pauseQueues } from '../_tasks.ts'

export default class TasksResume extends BaseCommand {
  static override summary = 'Resume queues'
  static override description = 'For all processes. What has waited in them meanwhile runs.'
  static override examples = ['<%= config.bin %> tasks resume mail']
  static override strict = false
  static override args = {
    queue: Args.string({ required: true, description: 'its name, or several' }),
  }

  async run(): Promise<void> {
    const { argv } = await this.parse(TasksResume)
    await this.withApp(async (app) => {
      await pauseQueues(app, argv as string[], false)
      this.log(`resumed ${argv.join(', ')}`)
    })
  }
}
