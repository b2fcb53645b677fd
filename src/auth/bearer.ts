import { PlinthError } from '../errors.ts'
import type { User } from '../resource/context.ts'
import type { Strategy } from './authenticator.ts'
import { type JwtClaims, type JwtVerifier, refuseToken } from './jwt.ts'

/** Whose a token is; undefined or null: nobody's. */
export type UserOfClaims = (
  claims: JwtClaims,
) => User | null | undefined | Promise<User | null | undefined>

/** `sub` as id, and `name`. */
export const userOfClaims: UserOfClaims = ({ sub, name }) =>
  sub ? { id: sub, ...(typeof name === 'string' && { name }) } : undefined

/** The header `Authorization: Bearer` with a token that `jwt` verifies (RFC 6750). */
export function createBearer(name: string, jwt: JwtVerifier, toUser: UserOfClaims): Strategy {
  return {
    name,
    scheme: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
    challenge: 'Bearer',
    async authenticate({ headers }, reply) {
      const token = tokenOf(headers.authorization)
      if (token === undefined) return undefined
      try {
        const claims = await jwt.verify(token)
        const user = await toUser(claims)
        if (!user) throw refuseToken('is of nobody who is known here')
        return { user, ...limitsOf(claims) }
      } catch (error) {
        if (PlinthError.is(error) && error.statusCode === 401)
          reply.header('www-authenticate', challengeOf(error))
        throw error
      }
    },
  }
}

/** The name of the scheme has no case (RFC 9110, 11.1). What has no dot is no JSON Web Token. */
function tokenOf(header = ''): string | undefined {
  if (header[6] !== ' ' || header.slice(0, 6).toLowerCase() !== 'bearer') return undefined
  return header.includes('.') ? header.slice(7).trim() : undefined
}

/** As RFC 6750, 3 has it. */
function challengeOf({ errors }: PlinthError): string {
  const [problem] = errors ?? []
  return `Bearer error="invalid_token"${problem ? `, error_description="${problem.message}"` : ''}`
}

/** The system that asks (RFC 9068, 2.2), the id of the token, and what it is good for: nothing where it does not say. */
function limitsOf({ client_id, azp, jti, scope, scp }: JwtClaims) {
  const app = client_id ?? azp
  const said = [scope ?? scp].flat().filter((one) => typeof one === 'string')
  return {
    scopes: said.flatMap((one) => one.split(' ')).filter((one) => one !== ''),
    ...(typeof app === 'string' && { app }),
    ...(jti !== undefined && { token: jti }),
  }
}
