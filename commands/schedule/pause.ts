import * as Args from '@oclif/core/args'
import { BaseCommand } from '../_base.ts'
import { sharedSchedules } from '../_tasks.ts'

export default class SchedulePause extends BaseCommand {
  static override summary = 'Pause a schedule'
  static override description =
    'For all processes, until it is resumed: what it misses meanwhile does not run.'
  static override examples = ['<%= config.bin %> schedule pause statistics.compute']
  static override args = {
    name: Args.string({ required: true, description: 'the resource, MODULE.NAME' }),
  }

  async run(): Promise<void> {
    const { args } = await this.parse(SchedulePause)
    await this.withApp(async (app) => {
      const schedules = await sharedSchedules(app)
      await schedules.pause(args.name)
      this.log(`paused ${args.name}`)
    })
  }
}
