import * as Args from '@oclif/core/args'
import { CLIError } from '@oclif/core/errors'
import * as Flags from '@oclif/core/flags'
import { BaseCommand } from './_base.ts'
import { formatJson } from './_print.ts'

export default class Call extends BaseCommand {
  static override summary = 'Call a resource'
  static override description =
    'Runs it in this process, as a request would, and prints what it returns as JSON on stdout. The service itself calls it, which may all, or a user.'
  static override examples = [
    `<%= config.bin %> call cities.retrieve '{"id": 2988507}'`,
    `echo '{"country": "FR"}' | <%= config.bin %> call cities.list -`,
    `<%= config.bin %> call reviews.list --user ann`,
  ]
  static override enableJsonFlag = true
  static override args = {
    resource: Args.string({
      required: true,
      description: 'MODULE.NAME; manage resources lists them',
    }),
    request: Args.string({ description: 'the request as JSON, - reads stdin; default {}' }),
  }

  static override flags = {
    user: Flags.string({
      helpValue: 'ID',
      description: 'call it as this user, whom loadUser of the service finds',
    }),
  }

  async run(): Promise<unknown> {
    const { args, flags } = await this.parse(Call)
    const request = parseJson(args.request === '-' ? await readStdin() : (args.request ?? '{}'))
    return await this.withApp(async (app, { service }) => {
      const { callResource } = await import('../src/resource/call.ts')
      const { Context, runInContext } = await import('../src/resource/context.ts')
      const { actForUser } = await import('../src/resource/load-user.ts')
      const { resource } = app.registry.find(args.resource)
      const context = new Context(app)
      if (flags.user !== undefined)
        await actForUser(context, flags.user, service.loadUser).catch((error) => {
          if (error.cause) app.log.error({ err: error }, 'the user could not be loaded')
          throw error
        })
      const response = await runInContext(context, callResource, resource, request)
      this.log(formatJson(response))
      return response
    })
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new CLIError(`the request is not JSON: ${(error as Error).message}`, { exit: 2 })
  }
}

async function readStdin(): Promise<string> {
  const { text } = await import('node:stream/consumers')
  return text(process.stdin)
}
