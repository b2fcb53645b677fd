import { BaseCommand } from 'plinth/command'

export default class Count extends BaseCommand {
  static override summary = 'Count messages'

  async run(): Promise<void> {
    await this.parse(Count)
  }
}
