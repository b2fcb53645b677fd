import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import { errors } from '../../src/errors.ts'
import { confirmLoss } from '../_ask.ts'
import { BaseCommand } from '../_base.ts'
import { sharedSchedules } from '../_tasks.ts'

const LOSS = 'a schedule that is removed does not come again, and nothing of it is kept'

export default class ScheduleRemove extends BaseCommand {
  static override summary = 'Remove a schedule that was made at run time'
  static override description =
    'What it has enqueued runs. Those of resources go with their release: pause them.'
  static override examples = ['<%= config.bin %> schedule remove report:ann --yes']
  static override enableJsonFlag = true
  static override args = {
    name: Args.string({ required: true, description: 'as it was set' }),
  }
  static override flags = {
    yes: Flags.boolean({ char: 'y', description: 'do not ask' }),
    force: Flags.boolean({ description: 'also in production' }),
  }

  async run(): Promise<{ removed: string }> {
    const { args, flags } = await this.parse(ScheduleRemove)
    return await this.withApp(async (app) => {
      const schedules = await sharedSchedules(app)
      this.refuseInProduction(app, LOSS, flags.force)
      if (!flags.yes) await confirmLoss(`Remove the schedule ${args.name}?`, LOSS)
      if (!(await schedules.remove(args.name)))
        throw errors.NOT_FOUND('schedule made at run time', args.name)
      this.log(`removed ${args.name}`)
      return { removed: args.name }
    })
  }
}
