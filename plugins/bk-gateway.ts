import { Type } from 'typebox'
import { addStrategy } from '../src/auth/authenticator.ts'
import {
  createGateway,
  type GatewayCall,
  type UserOfCall,
  userOfCall,
  userOrAppOfCall,
} from '../src/auth/bk-gateway.ts'
import { type JwtClaims, JwtVerifier } from '../src/auth/jwt.ts'
import { configuredKeys } from '../src/auth/jwt-keys.ts'
import type { Duration } from '../src/duration.ts'
import { definePlugin } from '../src/plugin.ts'
import { checkOptions, invalidOption, isObject, requirePackages } from '../src/plugin-guards.ts'

export type { GatewayCall, JwtClaims }

export interface BkGatewayOptions {
  /**
   * The public keys of the gateway as PEM, in base64 or not: one or several while one takes the place of another, or those of each
   * gateway by its name, which is the `kid` of its tokens. Default: APIGW_PUBLIC_KEY.
   */
  keys?: string | readonly string[] | Readonly<Record<string, string | readonly string[]>>
  /** Whether an app without a user is one, too: `app:CODE`. Default false. */
  apps?: boolean
  /** By how much the clock of the gateway may differ: milliseconds, or a text like `'10s'`; default 5000. */
  skew?: Duration
  /** Whose the call is, in place of `apps`; undefined or null: nobody's, and the next strategy is asked. */
  toUser?: UserOfCall
}

/**
 * The strategy `bk-gateway`: the header `X-Bkapi-JWT` (RS512) that BlueKing's API gateway adds to calls. Only what it says is
 * verified counts, the user as well as the app.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PACKAGE_MISSING
 */
export default definePlugin({
  name: 'bk-gateway',
  decorators: ['auth'],
  env: Type.Object({
    APIGW_PUBLIC_KEY: Type.Optional(
      Type.String({
        description:
          "The public key of BlueKing's API gateway; two while one takes the place of another.",
        expected: 'PEM, its line breaks written as \\n or not, or that in base64',
      }),
    ),
  }),
  async register(app, options: BkGatewayOptions, { name, env }) {
    const read = checkOptions<BkGatewayOptions>('bk-gateway', options, {
      keys: 'any?',
      apps: 'flag?',
      skew: 'time?',
      toUser: 'function?',
    })
    const { keys = env.APIGW_PUBLIC_KEY, apps = false, skew = 5000, toUser } = read
    requirePackages('bk-gateway', ['fast-jwt'])
    const found = configuredKeys('bk-gateway', 'keys', isObject(keys) ? keys : [keys ?? []].flat())
    if (!found.algorithms.includes('RS512'))
      throw invalidOption('bk-gateway', 'keys', keys, 'an RSA public key as PEM (APIGW_PUBLIC_KEY)')
    const jwt = new JwtVerifier(found, {
      audience: [],
      issuer: [],
      algorithms: ['RS512'],
      required: [],
      skew,
    })
    addStrategy(app, createGateway(name, jwt, toUser ?? (apps ? userOrAppOfCall : userOfCall)))
  },
})
