import type { User } from '../resource/context.ts'
import type { Strategy } from './authenticator.ts'
import { type JwtClaims, type JwtVerifier, refuseToken } from './jwt.ts'

const HEADER = 'x-bkapi-jwt'

/** What BlueKing's API gateway has verified of a call. */
export interface GatewayCall {
  /** The name of the user; absent where there is none, or none that is verified. */
  readonly username?: string
  /** The code of the app that calls; absent where it is not verified. */
  readonly app?: string
  /** All that the gateway says. */
  readonly claims: JwtClaims
}

/** Who makes a call that came by the gateway; undefined or null: nobody. */
export type UserOfCall = (
  call: GatewayCall,
) => User | null | undefined | Promise<User | null | undefined>

/** The user, by name. */
export const userOfCall: UserOfCall = ({ username }) =>
  username === undefined ? undefined : { id: username }

/** The user, else the app, as `app:CODE`. */
export const userOrAppOfCall: UserOfCall = ({ username, app }) =>
  username !== undefined ? { id: username } : app !== undefined ? { id: `app:${app}` } : undefined

/** The header `X-Bkapi-JWT`, which BlueKing's API gateway adds to what it passes on. */
export function createGateway(name: string, jwt: JwtVerifier, toUser: UserOfCall): Strategy {
  return {
    name,
    scheme: { type: 'apiKey', in: 'header', name: 'X-Bkapi-JWT' },
    async authenticate({ headers }) {
      const token = headers[HEADER]
      if (token === undefined) return undefined
      const call = readCall(await jwt.verify(String(token)))
      const user = await toUser(call)
      if (!user) return undefined
      return { user, ...(call.app !== undefined && { app: call.app }) }
    },
  }
}

function readCall(claims: JwtClaims): GatewayCall {
  const username = verifiedName(claims.user, 'bk_username', 'username')
  // A name may not look like the id of an app.
  if (username?.startsWith('app:')) throw refuseToken('has the name of an app as that of a user')
  const app = verifiedName(claims.app, 'bk_app_code', 'app_code')
  return { claims, ...(username !== undefined && { username }), ...(app !== undefined && { app }) }
}

/** @param keys newer gateways say it by the second */
function verifiedName(part: unknown, ...keys: readonly string[]): string | undefined {
  const said = (part ?? {}) as Record<string, unknown>
  const [name] = keys.map((key) => said[key]).filter((one) => one !== undefined && one !== null)
  return said.verified === true && typeof name === 'string' && name !== '' ? name : undefined
}
