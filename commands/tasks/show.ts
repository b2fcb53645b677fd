import * as Args from '@oclif/core/args'
import type { TaskRecord } from '../../src/task/types.ts'
import { BaseCommand } from '../_base.ts'
import { sharedTasks } from '../_tasks.ts'

export default class TasksShow extends BaseCommand {
  static override summary = 'Show everything that is known of a task'
  static override examples = ['<%= config.bin %> tasks show default.0b0e6c2a']
  static override enableJsonFlag = true
  static override args = { id: Args.string({ required: true, description: 'its task_id' }) }

  async run(): Promise<TaskRecord> {
    const { args } = await this.parse(TasksShow)
    return await this.withApp(async (app) => {
      await sharedTasks(app)
      const record = await app.tasks.find(args.id)
      this.log(JSON.stringify(record, null, 2))
      return record
    })
  }
}
