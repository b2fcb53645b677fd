import * as Args from '@oclif/core/args'
import type { TaskResult } from '../../src/task/types.ts'
import { BaseCommand } from '../_base.ts'
import { sharedTasks } from '../_tasks.ts'

export default class TasksCancel extends BaseCommand {
  static override summary = 'Cancel a task'
  static override description =
    'One that waits does not run any more; the signal of one that runs is aborted, and it is not tried again.'
  static override examples = ['<%= config.bin %> tasks cancel default.0b0e6c2a']
  static override enableJsonFlag = true
  static override args = { id: Args.string({ required: true, description: 'its task_id' }) }

  async run(): Promise<TaskResult> {
    const { args } = await this.parse(TasksCancel)
    return await this.withApp(async (app) => {
      await sharedTasks(app)
      const cancelled = await app.tasks.cancel(args.id)
      const result = await app.tasks.status(args.id)
      this.log(cancelled ? `cancelled ${args.id}` : `${args.id} had ended: ${result.state}`)
      return result
    })
  }
}
