import * as Flags from '@oclif/core/flags'
import type { OutboxEntry } from '../../src/task/outbox.ts'
import { BaseCommand } from '../_base.ts'
import { outboxOf } from '../_outbox.ts'

const STATES = ['waiting', 'refused'] as const

export default class OutboxList extends BaseCommand {
  static override summary = 'List tasks that are on their way to Redis'
  static override description =
    'The oldest first. Those that wait are moved as soon as Redis takes them; those that were refused for good stay until they are tried again or removed.'
  static override examples = [
    '<%= config.bin %> outbox list',
    '<%= config.bin %> outbox list --state refused --json',
  ]
  static override enableJsonFlag = true
  static override flags = {
    state: Flags.option({ options: STATES })({ description: 'where they are; default: both' }),
    limit: Flags.integer({ min: 1, max: 10_000, default: 20, description: 'at most so many' }),
  }

  async run(): Promise<OutboxEntry[]> {
    const { flags } = await this.parse(OutboxList)
    return await this.withApp(async (app) => {
      const { formatTable } = await import('../_print.ts')
      const entries = await outboxOf(app).list({ state: flags.state, limit: flags.limit })
      const rows = entries.map(({ id, state, resource, attempts, created_at, problem }) => {
        return [id, state, resource ?? '-', attempts, created_at, problem ?? '']
      })
      if (rows.length > 0) this.log(formatTable(rows))
      else this.logToStderr('no task is on its way')
      return entries
    })
  }
}
