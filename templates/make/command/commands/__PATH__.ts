import { BaseCommand, Flags } from 'plinth/command'

export default class __PASCAL__ extends BaseCommand {
  static override summary = '__TITLE__'
  static override examples = ['<%= config.bin %> __WORDS__']
  static override enableJsonFlag = true
  static override flags = { limit: Flags.integer({ default: 10, min: 1 }) }

  async run(): Promise<{ limit: number }> {
    const { flags } = await this.parse(__PASCAL__)
    await this.withApp(async (app) => app.log.info('__WORDS__'))
    this.log('%d', flags.limit)
    return { limit: flags.limit }
  }
}
