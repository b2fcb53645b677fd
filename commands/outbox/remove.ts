import * as Args from '@oclif/core/args'
import { confirmLoss, lossFlags } from '../_ask.ts'
import { BaseCommand } from '../_base.ts'
import { outboxOf } from '../_outbox.ts'

const LOSS = 'tasks that are removed from the outbox never run, and nothing of them is kept'

export default class OutboxRemove extends BaseCommand {
  static override summary = 'Remove tasks that are on their way to Redis'
  static override examples = ['<%= config.bin %> outbox remove mail.q0b0e6c2aKf4oVnRwP8xYg --yes']
  static override enableJsonFlag = true
  static override strict = false
  static override args = {
    id: Args.string({ required: true, description: 'a task_id, or several' }),
  }
  static override flags = lossFlags

  async run(): Promise<{ removed: number }> {
    const { argv, flags } = await this.parse(OutboxRemove)
    const ids = argv as string[]
    return await this.withApp(async (app) => {
      this.refuseInProduction(app, LOSS, flags.force)
      if (!flags.yes) await confirmLoss(`Remove ${ids.length} tasks?`, LOSS)
      const removed = await outboxOf(app).remove(ids)
      this.log(`removed ${removed} of ${ids.length}`)
      if (removed < ids.length) process.exitCode = 1
      return { removed }
    })
  }
}
