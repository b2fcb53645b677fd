import Type from 'typebox'
import { addStrategy } from '../src/auth/authenticator.ts'
import { createNonces } from '../src/auth/nonces.ts'
import { checkDigest, createSignature } from '../src/auth/signature.ts'
import { secret } from '../src/config/secret.ts'
import type { Duration } from '../src/duration.ts'
import { giveContext } from '../src/http/request-context.ts'
import { definePlugin } from '../src/plugin.ts'
import { checkOptions, invalidOption, requirePackages } from '../src/plugin-guards.ts'
import type { LoadUser } from '../src/resource/context.ts'

export interface SignatureOptions {
  /** The secrets of the apps that may call, by their codes: several while one takes the place of another. Default: APP_SECRETS. */
  secrets?: Readonly<Record<string, string | readonly string[]>>
  /** Where they are looked up in place of that; none of an app that is not known. */
  secretsOf?: (app: string) => readonly string[] | Promise<readonly string[]>
  /** How long a signature is good for: milliseconds, or a text like `'1m'`, which is the default. */
  maxAge?: Duration
  /** By how much the clocks of two machines may differ, likewise; default 5000. */
  skew?: Duration
  /**
   * The codes of the apps that may act for users, whose ids they sign with their requests (`x-act-for`): whoever has such a secret can be
   * anybody here. Default: none.
   */
  actFor?: readonly string[]
  /** Makes the user that an app acts for, mostly as the service does: `actFor` needs it. */
  loadUser?: LoadUser
}

// Characters: 32 bytes of the least that a secret is likely to be written in.
const MIN_SECRET = 32

/**
 * The strategy `signature`: other services, by their code and secret (RFC 9421, hmac-sha256; RFC 9530 for bodies). Each signature
 * counts once, in all processes where there is Redis.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PACKAGE_MISSING
 */
export default definePlugin({
  name: 'signature',
  after: ['redis'],
  decorators: ['auth'],
  env: Type.Object({
    APP_SECRETS: Type.Optional(
      secret(
        Type.String({
          description: 'The secrets of the apps that may call with a signature, by their codes.',
          pattern: `^[\\w-]+=[^,\\s]{${MIN_SECRET},}(,[\\w-]+=[^,\\s]{${MIN_SECRET},})*$`,
          expected: `CODE=SECRET with commas between them, each secret of at least ${MIN_SECRET} characters`,
        }),
      ),
    ),
  }),
  async register(app, options: SignatureOptions, { name, env }) {
    const read = checkOptions<SignatureOptions>('signature', options, {
      secrets: 'object?',
      secretsOf: 'function?',
      maxAge: 'span?',
      skew: 'time?',
      actFor: 'texts?',
      loadUser: 'function?',
    })
    requirePackages('signature', ['http-message-signatures'])
    const { secrets, secretsOf, maxAge = 60_000, skew = 5000, actFor = [], loadUser } = read
    const known = secrets ? Object.entries(secrets) : parseSecrets(env.APP_SECRETS)
    if (!secretsOf && (known.length === 0 || known.some(([, one]) => [one].flat().some(isShort))))
      throw invalidOption(
        'signature',
        'secrets',
        secrets,
        `secrets of at least ${MIN_SECRET} characters by the codes of apps (APP_SECRETS)`,
      )
    if (actFor.length > 0 && !loadUser)
      throw invalidOption('signature', 'loadUser', loadUser, 'a function, which actFor needs')
    giveContext(app)
    const of = (app: string) => known.flatMap(([code, one]) => (code === app ? one : []))
    const nonces = createNonces(app, `${name}:nonce`)
    const settings = { secretsOf: secretsOf ?? of, nonces, maxAge, skew, actFor, loadUser }
    addStrategy(app, await createSignature(name, settings))
    app.addHook('preParsing', async (request, _reply, payload) =>
      request.auth?.strategy === name && request.headers['content-digest'] !== undefined
        ? checkDigest(request, payload)
        : payload,
    )
  },
})

function parseSecrets(text = ''): [code: string, secret: string][] {
  return text
    .split(',')
    .filter((pair) => pair !== '')
    .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)])
}

function isShort(secret: unknown): boolean {
  return typeof secret !== 'string' || secret.length < MIN_SECRET
}
