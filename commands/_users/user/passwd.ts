import * as Args from '@oclif/core/args'
import { notFound } from '../../../src/errors.ts'
import { askPassword } from '../../_ask.ts'
import { UsersCommand } from '../_command.ts'

export default class UserPasswd extends UsersCommand {
  static override summary = 'Give a user another password'
  static override description =
    'It is asked for on the terminal, or read from stdin: a line. Who had to wait after failed logins need not any more.'
  static override examples = [
    '<%= config.bin %> user passwd ann',
    '<%= config.bin %> user passwd ann < password.txt',
  ]
  static override args = { name: Args.string({ required: true, description: 'what it is called' }) }

  async run(): Promise<void> {
    const { args } = await this.parse(UserPasswd)
    await this.withUsers(async (users) => {
      const { id, name } = (await users.find(args.name)) ?? notFound('user', args.name)
      await users.setPassword(id, await askPassword(name))
      this.log(`changed the password of ${name}`)
    })
  }
}
