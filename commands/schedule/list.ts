import type { ScheduleInfo } from '../../src/task/schedule-control.ts'
import { BaseCommand } from '../_base.ts'
import { sharedSchedules } from '../_tasks.ts'

export default class ScheduleList extends BaseCommand {
  static override summary = 'List the schedules and when they come next'
  static override examples = [
    '<%= config.bin %> schedule list',
    '<%= config.bin %> schedule list --json',
  ]
  static override enableJsonFlag = true

  async run(): Promise<ScheduleInfo[]> {
    await this.parse(ScheduleList)
    return await this.withApp(async (app) => {
      const { formatTable } = await import('../_print.ts')
      const list = await (await sharedSchedules(app)).list()
      const titles = ['schedule', 'cron', 'timezone', 'next', 'last', '']
      const rows = list.map(({ name, cron, timezone, next, last, paused }) => {
        return [name, cron, timezone, next, last ?? '-', paused ? 'paused' : '']
      })
      this.log(list.length > 0 ? formatTable([titles, ...rows]) : 'there are no schedules')
      return list
    })
  }
}
