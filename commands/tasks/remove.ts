import * as Args from '@oclif/core/args'
import { confirmLoss, lossFlags } from '../_ask.ts'
import { BaseCommand } from '../_base.ts'
import { changeEach, sharedTasks } from '../_tasks.ts'

const LOSS = 'tasks that are removed do not run, and nothing of them is kept'

export default class TasksRemove extends BaseCommand {
  static override summary = 'Remove tasks'
  static override description = 'Those that are running cannot be removed: cancel them first.'
  static override examples = ['<%= config.bin %> tasks remove default.0b0e6c2a --yes']
  static override enableJsonFlag = true
  static override strict = false
  static override args = {
    id: Args.string({ required: true, description: 'a task_id, or several' }),
  }
  static override flags = lossFlags

  async run(): Promise<{ removed: number }> {
    const { argv, flags } = await this.parse(TasksRemove)
    const ids = argv as string[]
    return await this.withApp(async (app) => {
      const driver = await sharedTasks(app)
      this.refuseInProduction(app, LOSS, flags.force)
      if (!flags.yes) await confirmLoss(`Remove ${ids.length} tasks?`, LOSS)
      const remove = (id: string) => driver.remove(id)
      const removed = await changeEach(app, ids, remove, ({ id, state }) =>
        this.logToStderr(`${id} is ${state} and stays`),
      )
      this.log(`removed ${removed} of ${ids.length}`)
      return { removed }
    })
  }
}
