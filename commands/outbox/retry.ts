import * as Args from '@oclif/core/args'
import { CLIError } from '@oclif/core/errors'
import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../_base.ts'
import { outboxOf } from '../_outbox.ts'

export default class OutboxRetry extends BaseCommand {
  static override summary = 'Deliver tasks again that were refused for good'
  static override description = 'A server or worker does so within a second.'
  static override examples = [
    '<%= config.bin %> outbox retry mail.q0b0e6c2aKf4oVnRwP8xYg',
    '<%= config.bin %> outbox retry --all',
  ]
  static override enableJsonFlag = true
  static override strict = false
  static override args = { id: Args.string({ description: 'a task_id, or several' }) }
  static override flags = {
    all: Flags.boolean({ description: 'every task that was refused for good' }),
  }

  async run(): Promise<{ retried: number }> {
    const { argv, flags } = await this.parse(OutboxRetry)
    const ids = argv as string[]
    if (ids.length > 0 === (flags.all ?? false))
      throw new CLIError('name tasks, or say --all', { exit: 2 })
    return await this.withApp(async (app) => {
      const retried = await outboxOf(app).retry(flags.all ? undefined : ids)
      this.log(
        flags.all ? `${retried} are tried again` : `${retried} of ${ids.length} are tried again`,
      )
      if (!flags.all && retried < ids.length) process.exitCode = 1
      return { retried }
    })
  }
}
