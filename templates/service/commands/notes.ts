import { BaseCommand } from 'plinth/command'
import { count } from '../src/notes/count.ts'

export default class Notes extends BaseCommand {
  static override summary = 'Tell how many notes there are'
  static override examples = ['<%= config.bin %> notes', '<%= config.bin %> notes --json']
  static override enableJsonFlag = true

  async run(): Promise<{ notes: number }> {
    const result = await this.withApp((app) => app.run(() => count()))
    this.log('%d', result.notes)
    return result
  }
}
