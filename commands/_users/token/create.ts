import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import type { ApiKey } from '../../../src/auth/api-keys.ts'
import { notFound } from '../../../src/errors.ts'
import { UsersCommand } from '../_command.ts'

const DAY = 86_400_000

export default class TokenCreate extends UsersCommand {
  static override summary = 'Create an API key of a user'
  static override description =
    'It is printed once; only a digest of it is kept. Without --scope it may do all that the user may.'
  static override examples = [
    '<%= config.bin %> token create billing --name nightly --days 90',
    '<%= config.bin %> token create billing --name reports --scope tickets:read --scope users:read',
  ]
  static override enableJsonFlag = true
  static override args = { user: Args.string({ required: true, description: 'its name' }) }
  static override flags = {
    name: Flags.string({ required: true, description: 'what the key is for' }),
    scope: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      description: 'what it is limited to; default: nothing',
    }),
    days: Flags.integer({ min: 1, max: 36_500, description: 'how long it is good; default: ever' }),
  }

  async run(): Promise<ApiKey & { key: string }> {
    const { args, flags } = await this.parse(TokenCreate)
    return await this.withUsers(async (users) => {
      const { id } = (await users.find(args.user)) ?? notFound('user', args.user)
      const { name, scope, days } = flags
      const made = await users.keys.create({
        user: id,
        name,
        ...(scope && { scopes: scope }),
        ...(days !== undefined && { expires: new Date(Date.now() + days * DAY) }),
      })
      this.logToStderr(`the key ${made.id}; nobody can show it again`)
      this.log(made.key)
      return made
    })
  }
}
