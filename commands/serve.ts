import * as Flags from '@oclif/core/flags'
import type { FastifyInstance } from 'fastify'
import { errors } from '../src/errors.ts'
import { BaseCommand } from './_base.ts'

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
    const { service, root } = await this.loadService()
    const { createApp } = await import('../src/service.ts')
    const app = (await createApp(service, { root })) as unknown as FastifyInstance
    const { endGracefully } = await import('../src/process/shutdown.ts')
    // Before it listens: from the first request on, a signal must not end it at once.
    const letGo = endGracefully(app)
    try {
      await app.ready()
      const { HOST, PORT } = app.config
      await listen(app, flags.host ?? HOST, flags.port ?? PORT)
    } catch (error) {
      letGo()
      await app.close()
      throw error
    }
  }

  private async watch(): Promise<void> {
    const { root } = this.locate()
    const { runAndWatch } = await import('../src/process/watch.ts')
    const argv = process.argv.slice(1).filter((word) => word !== '--watch')
    process.exitCode = await runAndWatch(root, process.execPath, [...process.execArgv, ...argv])
  }
}

async function listen(app: FastifyInstance, host: string, port: number): Promise<void> {
  try {
    await app.listen({ host, port })
  } catch (cause) {
    const { code, syscall, message } = cause as NodeJS.ErrnoException
    if (code === 'EADDRINUSE') throw errors.PORT_IN_USE.with({ cause }, `${host}:${port}`)
    if (syscall) throw errors.ADDRESS_UNUSABLE.with({ cause }, `${host}:${port}`, message)
    throw cause
  }
}
