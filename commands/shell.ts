import * as Flags from '@oclif/core/flags'
import { BaseCommand } from './_base.ts'

export default class Shell extends BaseCommand {
  static override summary = 'Open a REPL with app, db and resources'
  static override description =
    'A Node.js REPL with top-level await, completion and a history, in a context of the app: resources can be called. With --execute, or where stdin is no terminal, it runs what it is given.'
  static override examples = [
    '<%= config.bin %> shell',
    '<%= config.bin %> shell --execute "await resources.cities.retrieve({ id: 2988507 })"',
  ]
  static override flags = {
    execute: Flags.string({ char: 'e', description: 'run this code, print its value and end' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(Shell)
    await this.withApp(async (app, { service }) => {
      const { startRepl, evaluate } = await import('../src/process/repl.ts')
      const globals = { app, db: app.db, resources: app.resources }
      if (flags.execute === undefined && process.stdin.isTTY)
        return startRepl(service.name, globals)
      const { text } = await import('node:stream/consumers')
      const value = await evaluate(flags.execute ?? (await text(process.stdin)), globals)
      if (value === undefined) return
      const { inspect } = await import('node:util')
      this.log('%s', inspect(value, { depth: 6, colors: process.stdout.isTTY }))
    })
  }
}
