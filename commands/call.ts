import * as Args from '@oclif/core/args'
import { CLIError } from '@oclif/core/errors'
import { BaseCommand } from './_base.ts'
import { formatJson } from './_print.ts'

export default class Call extends BaseCommand {
  static override summary = 'Call a resource'
  static override description =
    'Runs it in this process, as a request would, and prints what it returns as JSON on stdout.'
  static override examples = [
    `<%= config.bin %> call cities.retrieve '{"id": 2988507}'`,
    `echo '{"country": "FR"}' | <%= config.bin %> call cities.list -`,
  ]
  static override enableJsonFlag = true
  static override args = {
    resource: Args.string({
      required: true,
      description: 'MODULE.NAME; manage resources lists them',
    }),
    request: Args.string({ description: 'the request as JSON, - reads stdin; default {}' }),
  }

  async run(): Promise<unknown> {
    const { args } = await this.parse(Call)
    const request = parseJson(args.request === '-' ? await readStdin() : (args.request ?? '{}'))
    return await this.withApp(async (app) => {
      const { callResource } = await import('../src/resource/call.ts')
      const { resource } = app.registry.find(args.resource)
      const response = await app.run(() => callResource(resource, request))
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
