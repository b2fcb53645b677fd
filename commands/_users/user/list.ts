import type { Account } from '../../../src/auth/users.ts'
import { UsersCommand } from '../_command.ts'

export default class UserList extends UsersCommand {
  static override summary = 'List the users'
  static override examples = ['<%= config.bin %> user list', '<%= config.bin %> user list --json']
  static override enableJsonFlag = true

  async run(): Promise<Account[]> {
    await this.parse(UserList)
    return await this.withUsers(async (users) => {
      const { formatTable } = await import('../../_print.ts')
      const all = await users.list()
      const titles = ['name', 'id', 'last login', '']
      const rows = all.map((one) => [one.name, one.id, one.last_login ?? 'never', stateOf(one)])
      this.log(all.length > 0 ? formatTable([titles, ...rows]) : 'there are no users')
      return all
    })
  }
}

function stateOf({ superuser, disabled, locked_until }: Account): string {
  const isLocked = locked_until !== null && Date.parse(locked_until) > Date.now()
  const words = [superuser && 'superuser', disabled && 'disabled', isLocked && 'locked']
  return words.filter(Boolean).join(', ')
}
