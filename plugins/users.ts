import { ApiKeys, type ApiKeysDb, AuthToken, apiKeyStrategy } from '../src/auth/api-keys.ts'
import { addStrategy } from '../src/auth/authenticator.ts'
import { PasswordHashes } from '../src/auth/password-hashes.ts'
import { AuthUser, UserTable } from '../src/auth/users.ts'
import { errors } from '../src/errors.ts'
import { definePlugin } from '../src/plugin.ts'
import { assertFree, checkOptions, invalidOption } from '../src/plugin-guards.ts'
import type { LoadUser } from '../src/resource/context.ts'

export type { ApiKey, ApiKeys } from '../src/auth/api-keys.ts'
export type { Account } from '../src/auth/users.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The users of plinth/plugins/users, and their API keys. */
    users: Users
  }
}

export interface UsersOptions {
  /** Whether API keys are a strategy of the app, `token`; default true. */
  tokens?: boolean
  /** The work of hashing a password: scrypt's N is 2 to the power of this, 10 to 20; default 15, 0.2 s of CPU and 32 MiB. */
  cost?: number
  /** How many logins of a user may fail before it has to wait, 30 s first and up to 15 min; default 10. */
  tries?: number
}

/** What `app.users` is. */
export interface Users extends UserTable {
  readonly keys: ApiKeys
}

/** Finds the user of a task: `defineService({ loadUser, plugins: [users()], … })`. */
export const loadUser: LoadUser = async (id, { app }) => await app.users.load(id)

const computed = new WeakMap<Users, PasswordHashes>()

/**
 * Users with passwords and API keys in two tables of `app.db`: `app.users`, the strategy `token`, and the commands `manage user` and
 * `manage token`.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE, PLUGIN_MISSING; PLUGIN_INVALID under another name
 */
export default definePlugin({
  name: 'users',
  needs: ['database'],
  models: [AuthUser, AuthToken],
  migrations: new URL('../src/auth/migrations/', import.meta.url),
  commands: new URL('../commands/_users/', import.meta.url),
  decorators: ['users', 'auth'],
  metrics: [
    {
      name: 'password_hashes_total',
      help: 'Hashes of passwords that were computed',
      type: 'counter',
      collect: ({ users }) => computed.get(users)?.computed ?? 0,
    },
  ],
  register(app, options: UsersOptions, { name }) {
    checkOptions<UsersOptions>('users', options, {
      tokens: 'flag?',
      cost: 'count?',
      tries: 'count?',
    })
    const { tokens = true, cost = 15, tries = 10 } = options
    if (cost < 10 || cost > 20) throw invalidOption('users', 'cost', cost, 'an integer, 10 to 20')
    if (name !== 'users')
      throw errors.PLUGIN_INVALID('users', `its tables are there once, so it is not called ${name}`)
    assertFree(app, name, name)
    const db = app.db as unknown as ApiKeysDb
    const hashes = new PasswordHashes(cost)
    const keys = new ApiKeys(db, app.log)
    const users = Object.assign(new UserTable(db, hashes, tries), { keys })
    computed.set(users, hashes)
    app.decorate('users', users)
    app.addHook('onClose', () => keys.close())
    if (tokens) addStrategy(app, apiKeyStrategy('token', keys))
  },
})
