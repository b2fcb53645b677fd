import * as Args from '@oclif/core/args'
import { notFound } from '../../../src/errors.ts'
import { UsersCommand } from '../_command.ts'

export default class UserEnable extends UsersCommand {
  static override summary = 'Enable a user that is disabled or locked'
  static override description =
    'It may log in again, at once where it had to wait after failed logins.'
  static override examples = ['<%= config.bin %> user enable ann']
  static override args = { name: Args.string({ required: true, description: 'what it is called' }) }

  async run(): Promise<void> {
    const { args } = await this.parse(UserEnable)
    await this.withUsers(async (users) => {
      const { id, name } = (await users.find(args.name)) ?? notFound('user', args.name)
      await users.enable(id)
      this.log(`enabled ${name}`)
    })
  }
}
