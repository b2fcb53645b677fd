import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { addStrategy } from '../src/auth/authenticator.ts'
import { createBearer, type UserOfClaims, userOfClaims } from '../src/auth/bearer.ts'
import { JWKS_LIMITS, Jwks, type JwksLimits } from '../src/auth/jwks.ts'
import { type JwtClaims, type JwtRules, JwtVerifier } from '../src/auth/jwt.ts'
import { configuredKeys, type JwtAlgorithm, type JwtKeys } from '../src/auth/jwt-keys.ts'
import type { Duration, InMilliseconds } from '../src/duration.ts'
import { found } from '../src/findings.ts'
import { definePlugin, type PluginContext } from '../src/plugin.ts'
import { checkOptions, invalidOption, requirePackages } from '../src/plugin-guards.ts'

export type { JwksLimits, JwtAlgorithm, JwtClaims }

export interface BearerOptions {
  /** Where the issuer tells its public keys (RFC 7517). Default: JWT_JWKS_URL. */
  jwks?: string
  jwksLimits?: Partial<JwksLimits>
  /** In place of `jwks`: a public key as PEM, or a secret; several while one takes the place of another. Default: JWT_KEY. */
  key?: string | readonly string[]
  /** Whom the tokens are for: one of these has to be in `aud`; `false`: that is not asked. Default: JWT_AUDIENCE. */
  audience?: string | readonly string[] | false
  /** What `iss` has to be, one of these. Default: JWT_ISSUER; any where there is none. */
  issuer?: string | readonly string[]
  /** How tokens may be signed. Default: all that go with the kind of the keys, by JWKS those of public keys. */
  algorithms?: readonly JwtAlgorithm[]
  /** Claims that a token needs beside `exp`, `sub` where there is no `toUser`, and `aud` and `iss` where they are told. */
  requiredClaims?: readonly string[]
  /** By how much the clock of the issuer may differ: milliseconds, or a text like `'10s'`; default 5000. */
  skew?: Duration
  /** Whose the token is; undefined or null: nobody's, which is 401. Default: `sub` as id, and `name`. */
  toUser?: UserOfClaims
}

const LIST = 'one text, or several with commas between them'
const variables = Type.Object({
  JWT_JWKS_URL: Type.Optional(
    Type.String({
      description: 'Where the issuer of the tokens tells its public keys.',
      format: 'uri',
      pattern: '^https?:',
      expected: 'https://login.example.com/.well-known/jwks.json',
      secret: 'password',
    }),
  ),
  JWT_KEY: Type.Optional(
    Type.String({
      description: 'In place of JWT_JWKS_URL: the key of the tokens.',
      expected:
        'a public key as PEM, its line breaks written as \\n or not, or a secret of at least 32 bytes',
      secret: true,
    }),
  ),
  JWT_AUDIENCE: Type.Optional(
    Type.String({ description: 'Whom the tokens are for: their aud.', expected: LIST }),
  ),
  JWT_ISSUER: Type.Optional(
    Type.String({ description: 'Who issues the tokens: their iss.', expected: LIST }),
  ),
})
type Variables = Static<typeof variables>

const remote = new WeakMap<PluginContext, Jwks>()

/**
 * The strategy `bearer`: the header `Authorization: Bearer` with a JSON Web Token, verified by the keys of its issuer. What has no
 * dot is no such token, and left to other strategies. Its scopes are those of `scope` or `scp`: none where it says none.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PACKAGE_MISSING
 */
export default definePlugin({
  name: 'bearer',
  decorators: ['auth'],
  env: variables,
  readiness: {
    // Processes that have the keys had better be asked as long as this one has none.
    bearer: async (_app, signal, context) => await remote.get(context)?.ready(signal),
  },
  checks: [
    (_app, { options, env, production }) => {
      const { jwks = env.JWT_JWKS_URL ?? '' } = options as BearerOptions
      const message =
        'the keys of tokens come by http: who changes them on their way can sign tokens'
      const isOpen = /^http:\/\/(?!localhost|127\.|\[::1\])/.test(jwks)
      return production && isOpen ? [found('keys-unencrypted', message)] : []
    },
  ],
  async register(app, options: BearerOptions, context) {
    const read = checkOptions<BearerOptions>('bearer', options, {
      jwks: 'text?',
      jwksLimits: 'object?',
      key: 'some?',
      audience: 'someOrNone?',
      issuer: 'some?',
      algorithms: 'texts?',
      requiredClaims: 'texts?',
      skew: 'time?',
      toUser: 'function?',
    })
    requirePackages('bearer', ['fast-jwt'])
    const keys = readKeys(app, options, context)
    const jwt = new JwtVerifier(keys, readRules(keys, read, context.env))
    addStrategy(app, createBearer(context.name, jwt, options.toUser ?? userOfClaims))
  },
})

/** Those of the options, or else of the variables. */
function readKeys(
  app: FastifyInstance,
  options: BearerOptions,
  context: PluginContext<Variables>,
): JwtKeys {
  const { JWT_JWKS_URL, JWT_KEY } = context.env
  const isGiven = options.jwks !== undefined || options.key !== undefined
  const { jwks, key } = isGiven ? options : { jwks: JWT_JWKS_URL, key: JWT_KEY }
  if (key !== undefined && jwks === undefined) return configuredKeys('bearer', 'key', [key].flat())
  if (key !== undefined || jwks === undefined || !/^https?:/.test(jwks) || !URL.canParse(jwks))
    throw invalidOption(
      'bearer',
      'jwks',
      jwks,
      'a URL with http or https, or a key in its place (JWT_JWKS_URL or JWT_KEY), not both',
    )
  const given: JwksLimits = { ...JWKS_LIMITS, ...options.jwksLimits }
  const limits = checkOptions<JwksLimits>('bearer', given, {
    timeout: 'timer',
    cooldown: 'time',
    retry: 'time',
    maxAge: 'time',
    maxStale: 'time',
  })
  const keys = new Jwks(jwks, limits, app.log)
  remote.set(context, keys)
  app.addHook('onClose', async () => keys.close())
  return keys
}

function readRules(
  keys: JwtKeys,
  options: InMilliseconds<BearerOptions>,
  env: Variables,
): JwtRules {
  const { algorithms = keys.algorithms, requiredClaims = [], skew = 5000, toUser } = options
  const { audience = split(env.JWT_AUDIENCE), issuer = split(env.JWT_ISSUER) } = options
  const refuse = (option: 'audience' | 'algorithms', expected: string) =>
    invalidOption('bearer', option, options[option], expected)
  if (audience !== false && audience.length === 0)
    throw refuse('audience', 'whom the tokens are for (JWT_AUDIENCE), or false: for anybody')
  if (algorithms.length === 0 || !algorithms.every((one) => keys.algorithms.includes(one)))
    throw refuse('algorithms', `some of those that go with the key: ${keys.algorithms.join(', ')}`)
  return {
    audience: audience === false ? [] : [audience].flat(),
    issuer: [issuer].flat(),
    algorithms,
    required: toUser ? requiredClaims : ['sub', ...requiredClaims],
    skew,
  }
}

function split(list = ''): string[] {
  return list
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '')
}
