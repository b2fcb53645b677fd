import * as Args from '@oclif/core/args'
import { notFound } from '../../../src/errors.ts'
import { UsersCommand } from '../_command.ts'

export default class UserDisable extends UsersCommand {
  static override summary = 'Disable a user'
  static override description =
    'From now on it does not log in, and its API keys are worth nothing.'
  static override examples = ['<%= config.bin %> user disable ann']
  static override args = { name: Args.string({ required: true, description: 'what it is called' }) }

  async run(): Promise<void> {
    const { args } = await this.parse(UserDisable)
    await this.withUsers(async (users) => {
      const { id, name } = (await users.find(args.name)) ?? notFound('user', args.name)
      await users.disable(id)
      this.log(`disabled ${name}`)
    })
  }
}
