import * as Args from '@oclif/core/args'
import { CLIError } from '@oclif/core/errors'
import * as Flags from '@oclif/core/flags'
import type { Duration } from '../../src/duration.ts'
import type { ScheduleInfo } from '../../src/task/schedule-control.ts'
import { BaseCommand } from '../_base.ts'
import { sharedSchedules } from '../_tasks.ts'

const LOSS = 'what the schedule of that name says now is replaced'

export default class ScheduleSet extends BaseCommand {
  static override summary = 'Make a schedule at run time, or change it'
  static override description =
    'It is kept in the database, and runs in all processes after ten seconds at most. One of that name that was made so is replaced, in production with --force alone; those of resources are said by the service.'
  static override examples = [
    `<%= config.bin %> schedule set report:ann --resource reports.send --cron '0 7 * * *' --timezone Europe/Berlin --input '{"user":"ann"}'`,
    `<%= config.bin %> schedule set cleanup --resource files.sweep --cron '*/10 * * * *' --jitter 30s --missed once --json`,
  ]
  static override enableJsonFlag = true
  static override args = {
    name: Args.string({
      required: true,
      description: '1 to 100 letters, digits and _ . : -; that of no resource',
    }),
  }
  static override flags = {
    resource: Flags.string({
      required: true,
      helpValue: 'MODULE.NAME',
      description: 'what runs then; manage resources lists them',
    }),
    cron: Flags.string({
      required: true,
      description: 'five fields, or six with seconds first',
    }),
    timezone: Flags.string({ helpValue: 'ZONE', description: 'Europe/Berlin; default: UTC' }),
    jitter: Flags.custom<Duration>({
      helpValue: 'TIME',
      parse: async (text) => readTime(text),
      description: 'how much later it runs at most: milliseconds, or 30s; default: 0',
    })(),
    missed: Flags.option({
      options: ['skip', 'once'] as const,
      description: 'which of the times run at which no process was there; default: none',
    })(),
    overlap: Flags.option({
      options: ['skip', 'queue', 'allow'] as const,
      description: 'what becomes of a run while the last one has not ended; default: skip',
    })(),
    input: Flags.custom<unknown>({
      helpValue: 'JSON',
      parse: async (text) => readJson(text),
      description: 'the request; default: {}',
    })(),
    force: Flags.boolean({ description: 'also replace one in production' }),
  }

  async run(): Promise<ScheduleInfo | undefined> {
    const { args, flags } = await this.parse(ScheduleSet)
    const { name } = args
    const { resource, cron, timezone, jitter, missed, overlap, input } = flags
    const schedule = {
      ...{ resource, cron },
      ...(timezone !== undefined && { timezone }),
      ...(jitter !== undefined && { jitter }),
      ...(missed && { missed }),
      ...(overlap && { overlap }),
      ...(input !== undefined && { input }),
    }
    return await this.withApp(async (app) => {
      const schedules = await sharedSchedules(app)
      const find = async () => (await schedules.list()).find((one) => one.name === name)
      if (await find()) this.refuseInProduction(app, LOSS, flags.force)
      await schedules.set(name, schedule)
      const made = await find()
      this.log(`set ${name}: ${resource} next at ${made?.next}`)
      return made
    })
  }
}

/** Digits alone are milliseconds. */
function readTime(text: string): Duration {
  return /^\d+$/.test(text) ? Number(text) : (text as Duration)
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new CLIError(`--input is not JSON: ${(error as Error).message}`, { exit: 2 })
  }
}
