import * as Args from '@oclif/core/args'
import { UsersCommand } from '../_command.ts'

export default class TokenRevoke extends UsersCommand {
  static override summary = 'Revoke an API key'
  static override description = 'From now on it is worth nothing, in all processes.'
  static override examples = ['<%= config.bin %> token revoke 0199d3a2-6f0e-7c1b-9d54-3f1c2b7a8e90']
  static override args = {
    id: Args.string({ required: true, description: 'as token list tells it' }),
  }

  async run(): Promise<void> {
    const { args } = await this.parse(TokenRevoke)
    await this.withUsers(async (users) => {
      await users.keys.revoke(args.id)
      this.log(`revoked ${args.id}`)
    })
  }
}
