import { BaseCommand } from 'plinth/command'

export default class Count extends BaseCommand {
  static summary = 'Count entries'
  static enableJsonFlag = true

  async run() {
    await this.parse(Count)
    const { entries } = await this.withDatabase(({ db }) =>
      db
        .selectFrom('__SNAKE___entry')
        .select(({ fn }) => fn.countAll().as('entries'))
        .executeTakeFirstOrThrow(),
    )
    this.log('%d', Number(entries))
    return { entries: Number(entries) }
  }
}
