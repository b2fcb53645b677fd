import * as Args from '@oclif/core/args'
import { BaseCommand } from '../_base.ts'
import { sharedSchedules } from '../_tasks.ts'

export default class ScheduleRun extends BaseCommand {
  static override summary = 'Run a schedule now'
  static override description =
    'Adds its task, paused or not; the times at which it comes stay as they are.'
  static override examples = ['<%= config.bin %> schedule run statistics.compute']
  static override args = {
    name: Args.string({ required: true, description: 'the resource, MODULE.NAME' }),
  }

  async run(): Promise<void> {
    const { args } = await this.parse(ScheduleRun)
    await this.withApp(async (app) => {
      const schedules = await sharedSchedules(app)
      this.log(await schedules.runNow(args.name))
    })
  }
}
