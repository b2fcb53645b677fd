import * as Args from '@oclif/core/args'
import { BaseCommand } from '../_base.ts'
import { sharedSchedules } from '../_tasks.ts'

export default class ScheduleResume extends BaseCommand {
  static override summary = 'Resume a schedule'
  static override description = 'It comes again from its next time on.'
  static override examples = ['<%= config.bin %> schedule resume statistics.compute']
  static override args = {
    name: Args.string({ required: true, description: 'the resource, MODULE.NAME' }),
  }

  async run(): Promise<void> {
    const { args } = await this.parse(ScheduleResume)
    await this.withApp(async (app) => {
      const schedules = await sharedSchedules(app)
      await schedules.resume(args.name)
      this.log(`resumed ${args.name}`)
    })
  }
}
