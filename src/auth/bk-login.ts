import type { FastifyRequest } from 'fastify'
import type { User } from '../resource/context.ts'
import type { Strategy } from './authenticator.ts'
import { assertOwnPage, readCookie, returnAddress } from './browser.ts'
import type { LoginService, Person } from './login-service.ts'

/** Who somebody is who has logged in; undefined or null: nobody. */
export type UserOfPerson = (
  person: Person,
) => User | null | undefined | Promise<User | null | undefined>

export interface BkLogin {
  readonly service: LoginService
  /** The page of the login service. */
  readonly page: string
  readonly cookie: string
  readonly toUser: UserOfPerson
  /** Pages that may make changes and be come back to, beside the app's own. */
  readonly origins: ReadonlySet<string>
}

/**
 * The cookie `bk_token` of BlueKing's login service. A browser sends an old one along unasked: one that is nobody's is as none.
 */
export function createBkLogin(
  name: string,
  { service, page, cookie, toUser, origins }: BkLogin,
): Strategy {
  return {
    name,
    scheme: { type: 'apiKey', in: 'cookie', name: cookie },
    login(request: FastifyRequest) {
      const login = new URL(page)
      login.searchParams.set('c_url', returnAddress(request, origins))
      return login.href
    },
    async authenticate(request) {
      const token = readCookie(request, cookie)
      if (token === undefined) return undefined
      const person = await service.find(token)
      const user = person && (await toUser(person))
      if (!user) return undefined
      assertOwnPage(request, origins)
      return { user }
    },
  }
}
