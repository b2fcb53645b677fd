import * as Args from '@oclif/core/args'
import { BaseCommand } from '../_base.ts'
import { formatTree, type ShownTask, sharedTasks, treeOf } from '../_tasks.ts'

export default class TasksShow extends BaseCommand {
  static override summary = 'Show everything that is known of a task'
  static override description =
    'Of one that waits for others (chain, group) also the tree of them, with where each is, and why it has failed.'
  static override examples = ['<%= config.bin %> tasks show default.0b0e6c2a']
  static override enableJsonFlag = true
  static override args = { id: Args.string({ required: true, description: 'its task_id' }) }

  async run(): Promise<ShownTask> {
    const { args } = await this.parse(TasksShow)
    return await this.withApp(async (app) => {
      await sharedTasks(app)
      const record = await app.tasks.find(args.id)
      const flow = await treeOf(app, record)
      this.log(JSON.stringify(record, null, 2))
      if (flow.tree) this.log(`\n${formatTree(flow)}`)
      return flow
    })
  }
}
