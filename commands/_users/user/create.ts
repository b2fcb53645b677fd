import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import type { Account } from '../../../src/auth/users.ts'
import { askPassword } from '../../_ask.ts'
import { UsersCommand } from '../_command.ts'

export default class UserCreate extends UsersCommand {
  static override summary = 'Create a user'
  static override description =
    'Its password is asked for on the terminal, or read from stdin: a line.'
  static override examples = [
    '<%= config.bin %> user create ann --superuser',
    '<%= config.bin %> user create ann < password.txt',
    '<%= config.bin %> user create billing --no-password',
  ]
  static override enableJsonFlag = true
  static override args = { name: Args.string({ required: true, description: 'what it is called' }) }
  static override flags = {
    superuser: Flags.boolean({ description: 'it may do all that isSuperuser asks for' }),
    'no-password': Flags.boolean({ description: 'it has none: for systems that have a key' }),
  }

  async run(): Promise<Account> {
    const { args, flags } = await this.parse(UserCreate)
    return await this.withUsers(async (users) => {
      const { superuser } = flags
      const password = flags['no-password'] ? {} : { password: await askPassword(args.name) }
      const made = await users.create({ name: args.name, superuser, ...password })
      this.log(`created ${made.name}`)
      return made
    })
  }
}
