import * as Flags from '@oclif/core/flags'
import { BaseCommand } from './_base.ts'
import { serve } from './_serve.ts'

export default class Serve extends BaseCommand {
  static override summary = 'Serve HTTP'
  static override description =
    'Serves until SIGTERM or SIGINT: then /readyz fails, requests in flight finish, connections close, and it exits 0.'
  static override examples = [
    '<%= config.bin %> serve',
    '<%= config.bin %> serve --port 3000 --host 0.0.0.0',
    '<%= config.bin %> serve --watch',
  ]
  static override flags = {
    port: Flags.integer({
      char: 'p',
      min: 0,
      max: 65_535,
      description: 'default: PORT; 0 takes a free one',
    }),
    host: Flags.string({ description: 'default: HOST' }),
    watch: Flags.boolean({ description: 'start again when a file of the service or .env changes' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(Serve)
    if (flags.watch) return this.watch()
    await serve(this.script, flags)
  }

  private async watch(): Promise<void> {
    const { root } = this.locate()
    const { runAndWatch } = await import('../src/process/watch.ts')
    const argv = process.argv.slice(1).filter((word) => word !== '--watch')
    const { tie } = await import('#child')
    process.exitCode = await runAndWatch(root, process.execPath, [...process.execArgv, ...argv], {
      stdio: tie.stdio,
      env: { ...process.env, ...tie.env },
    })
  }
}
