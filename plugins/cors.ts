import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import { errors } from '../src/errors.ts'
import { found } from '../src/findings.ts'
import { definePlugin, type PluginGiven } from '../src/plugin.ts'
import { checkOptions, invalidOption, requirePackages } from '../src/plugin-guards.ts'

declare module '../src/config/schema.ts' {
  interface KitConfig extends Env {}
}

const ORIGIN = 'https?://[^/,\\s*]+'

const env = Type.Object({
  CORS_ORIGINS: Type.Optional(
    Type.String({
      description: 'Whose pages may call this service from a browser; unset: its own alone.',
      pattern: `^(\\*|${ORIGIN}(,${ORIGIN})*)$`,
      expected: 'https://app.example.com, several with commas between them, or * for all',
    }),
  ),
  CORS_CREDENTIALS: Type.Boolean({
    description: 'Whether those pages may send cookies, and read what is answered to them.',
    default: false,
  }),
})
type Env = Static<typeof env>

export interface CorsOptions {
  /** Whose pages may call: `https://app.example.com`, or `*` alone for all. */
  origins: readonly string[]
  /** Whether they may send cookies, which is never for all; default false. */
  credentials?: boolean
}

/** What a page of another origin may read of an answer, beside what all may. */
const EXPOSED = [
  'content-disposition',
  'etag',
  'idempotent-replayed',
  'ratelimit',
  'ratelimit-policy',
  'retry-after',
  'www-authenticate',
  'x-request-id',
]

/**
 * Lets pages of other origins call, by `@fastify/cors`. What a browser asks before that (`OPTIONS`) is answered before anything
 * refuses it: register it before what authenticates.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PACKAGE_MISSING; PLUGIN_TWICE, where a context around it has one, too
 */
async function register(app: FastifyInstance, options: CorsOptions): Promise<void> {
  checkOptions<CorsOptions>('cors', options, { origins: 'texts', credentials: 'flag?' })
  const { origins, credentials = false } = options
  const isAll = origins.includes('*')
  const isKnown = isAll ? !credentials : origins.every((one) => URL.parse(one)?.origin === one)
  if (origins.length === 0 || !isKnown)
    throw invalidOption(
      'cors',
      'origins',
      origins,
      'of https://app.example.com without a path, or * without credentials (CORS_ORIGINS)',
    )
  requirePackages('cors', ['@fastify/cors'])
  // It would say so where nobody can catch it, and end the process.
  if (app.hasRequestDecorator('corsPreflightEnabled')) throw errors.PLUGIN_TWICE('cors')
  const { default: cors } = await import('@fastify/cors')
  await app.register(cors, {
    origin: isAll ? '*' : [...origins],
    credentials,
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: EXPOSED,
    maxAge: 600,
    // Its refusal would not be in the form of all others.
    strictPreflight: false,
  })
}

export default definePlugin({
  name: 'cors',
  env,
  after: ['request-log', 'envelope'],
  checks: [
    (_, { options, production }) => {
      const message = 'pages of every origin may call the service from a browser'
      const isOpen = (options as CorsOptions).origins.includes('*')
      return production && isOpen ? [found('cors-open', message)] : []
    },
  ],
  options: ({ env, named }: PluginGiven<Env>): CorsOptions | string => {
    const { CORS_ORIGINS, CORS_CREDENTIALS: credentials } = env
    if (!CORS_ORIGINS) return `set ${named('CORS_ORIGINS')}`
    return { origins: CORS_ORIGINS.split(','), credentials }
  },
  register,
})
