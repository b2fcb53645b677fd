import * as Args from '@oclif/core/args'
import type { ApiKey } from '../../../src/auth/api-keys.ts'
import { notFound } from '../../../src/errors.ts'
import { UsersCommand } from '../_command.ts'

export default class TokenList extends UsersCommand {
  static override summary = 'List the API keys'
  static override examples = [
    '<%= config.bin %> token list',
    '<%= config.bin %> token list billing --json',
  ]
  static override enableJsonFlag = true
  static override args = { user: Args.string({ description: 'its name; default: of all users' }) }

  async run(): Promise<(ApiKey & { user: string })[]> {
    const { args } = await this.parse(TokenList)
    return await this.withUsers(async (users) => {
      const { formatTable } = await import('../../_print.ts')
      const all = await users.list()
      const names = new Map(all.map(({ id, name }) => [id, name]))
      const id = args.user && ((await users.find(args.user)) ?? notFound('user', args.user)).id
      const found = await users.keys.list(id)
      const keys = found.map((key) => ({ ...key, user: names.get(key.user_id) ?? key.user_id }))
      const titles = ['id', 'user', 'name', 'scopes', 'last used', '']
      this.log(
        keys.length > 0 ? formatTable([titles, ...keys.map(rowOf)]) : 'there are no API keys',
      )
      return keys
    })
  }
}

function rowOf(key: ApiKey & { user: string }): string[] {
  const { id, user, name, scopes, expires_at, last_used_at, revoked_at } = key
  const end = revoked_at ? `revoked ${revoked_at}` : expires_at ? `until ${expires_at}` : ''
  return [id, user, name, scopes?.join(' ') ?? 'all', last_used_at ?? 'never', end]
}
