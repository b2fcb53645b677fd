import type { FastifyInstance } from 'fastify'
import { errors } from '../../src/errors.ts'
import { BaseCommand } from '../_base.ts'

/** What the commands of plinth/plugins/users extend. */
export abstract class UsersCommand extends BaseCommand {
  /**
   * Runs `fn` with the users of the service, of which no more is started than they need.
   *
   * @throws {PlinthError} MIGRATION_PENDING where their tables are not there
   */
  protected async withUsers<T>(fn: (users: FastifyInstance['users']) => Promise<T>): Promise<T> {
    return await this.withApp(
      async (app, loaded) => {
        const { migratorOf } = await import('../_app.ts')
        const pending = await (await migratorOf(app.db, loaded)).pending()
        const own = pending.filter((name) => name.startsWith('users/'))
        if (own.length > 0) throw errors.MIGRATION_PENDING(own.join(', '))
        return await fn(app.users)
      },
      { only: ['users'] },
    )
  }
}
