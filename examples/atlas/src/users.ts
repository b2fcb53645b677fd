import { randomBytes } from 'node:crypto'
import { definePlugin, secret, Type, type User } from 'plinth'
import { definePermission } from 'plinth/auth'
import bearer from 'plinth/plugins/bearer'

declare module 'plinth' {
  interface User {
    /** `admin`: of Atlas, whatever the tenant. */
    role?: string
  }
  interface ServiceConfig {
    JWT_KEY?: string
  }
}

/** Whom the tokens are for. */
export const AUDIENCE = 'atlas'

/** What has no `/`, so that nobody of one tenant has the id of somebody of another. */
export const TENANT = /^[a-z0-9-]{1,30}$/

/** The id of a user begins with the tenant, since names are unique only there: `north/ann`. */
export const tenantOf = ({ id }: User): string => id.slice(0, id.indexOf('/'))

export const isAdmin = definePermission({
  name: 'isAdmin',
  reason: 'only admins may do this',
  allows: ({ user }) => user?.role === 'admin',
})

/** Users by their tokens. Without JWT_KEY nobody has one: Atlas is for reading then. */
export const tokens = definePlugin({
  name: 'tokens',
  env: Type.Object({
    JWT_KEY: Type.Optional(
      secret(
        Type.String({
          minLength: 32,
          description: 'Signs the tokens of users; without it nobody can change anything.',
          expected: 'a secret of at least 32 bytes',
        }),
      ),
    ),
  }),
  async register(app, _options, { env }) {
    await app.register(bearer, {
      key: env.JWT_KEY ?? randomBytes(32).toString('hex'),
      audience: AUDIENCE,
      requiredClaims: ['sub'],
      toUser: ({ sub, tenant, role }) =>
        typeof tenant === 'string' && TENANT.test(tenant)
          ? { id: `${tenant}/${sub}`, ...(role === 'admin' && { role }) }
          : null,
    })
  },
})
