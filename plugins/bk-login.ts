import { type Static, type TObject, Type } from 'typebox'
import { addStrategy } from '../src/auth/authenticator.ts'
import { createBkLogin, type UserOfPerson } from '../src/auth/bk-login.ts'
import { readOrigins } from '../src/auth/browser.ts'
import {
  LOGIN_LIMITS,
  type LoginLimits,
  type LoginQuestion,
  LoginService,
  type Person,
  readGatewayLogin,
  readLogin,
} from '../src/auth/login-service.ts'
import { BLUEKING, bkApiUrl, bkAuthorization } from '../src/config/blueking.ts'
import { definePlugin } from '../src/plugin.ts'
import { checkOptions, invalidOption } from '../src/plugin-guards.ts'

export type { LoginLimits, Person }

export interface BkLoginOptions {
  /** The login service as browsers reach it: `https://paas.example.com/login`. Default: BK_LOGIN_URL, or BKPAAS_LOGIN_URL. */
  url?: string
  /** The same as this service reaches it. Default: BK_LOGIN_API_URL, or the API of the gateway where that is asked, or `url`. */
  apiUrl?: string
  /**
   * Whether it is asked by BlueKing's API gateway (its API `bk-login` at BK_API_URL_TMPL), by the code and the secret of this app
   * (BKPAAS_APP_ID, BKPAAS_APP_SECRET), as it is where there are tenants. Default false.
   */
  gateway?: boolean
  /** Where behind `apiUrl` it is asked; default `/accounts/is_login/`, and `/api/v3/open/bk-tokens/verify/` by the gateway. */
  path?: string
  /** The name of the cookie; default `bk_token`. */
  cookie?: string
  /** Pages that may make changes and be come back to, beside the app's own: `https://ui.example.com`. Default: BK_LOGIN_ORIGINS. */
  origins?: string | readonly string[]
  limits?: Partial<LoginLimits>
  /** Who it is; undefined or null: nobody. Default: the user name as id. */
  toUser?: UserOfPerson
}

const ADDRESS = { format: 'uri', pattern: '^https?:', expected: 'https://paas.example.com/login' }

/**
 * The strategy `bk-login`: the cookie `bk_token`, checked with BlueKing's login service. Changes are refused that pages of others
 * make with it.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID
 */
export default definePlugin({
  name: 'bk-login',
  decorators: ['auth'],
  env: Type.Object({
    BK_LOGIN_URL: Type.Optional(
      Type.String({
        description:
          "BlueKing's login service, as browsers reach it; BKPAAS_LOGIN_URL when not set.",
        ...ADDRESS,
      }),
    ),
    BKPAAS_LOGIN_URL: Type.Optional(
      Type.String({ description: 'The same, as a BlueKing PaaS tells it.', ...ADDRESS }),
    ),
    BK_LOGIN_API_URL: Type.Optional(
      Type.String({
        description: 'The same as this service reaches it; BK_LOGIN_URL when not set.',
        ...ADDRESS,
      }),
    ),
    BK_LOGIN_ORIGINS: Type.Optional(
      Type.String({
        description: 'Other origins whose pages may make changes with the login cookie.',
        expected: 'https://ui.example.com, or several with commas between them',
      }),
    ),
    ...BLUEKING,
  }),
  register(app, options: BkLoginOptions, { name, env }) {
    checkOptions<BkLoginOptions>('bk-login', options, {
      url: 'text?',
      apiUrl: 'text?',
      gateway: 'flag?',
      path: 'text?',
      cookie: 'text?',
      origins: 'some?',
      limits: 'object?',
      toUser: 'function?',
    })
    const { url = env.BK_LOGIN_URL ?? env.BKPAAS_LOGIN_URL, cookie = 'bk_token' } = options
    const { toUser = ({ username }) => ({ id: username }) } = options
    const page = readAddress('url', url, 'BK_LOGIN_URL')
    const question = options.gateway ? askGateway(env) : ASK_ITSELF
    const { path = question.path } = options
    const api = readAddress(
      'apiUrl',
      options.apiUrl ?? env.BK_LOGIN_API_URL ?? question.url ?? url,
      '',
    )
    if (!path.startsWith('/')) throw invalidOption('bk-login', 'path', path, 'a path')
    const given: LoginLimits = { ...LOGIN_LIMITS, ...options.limits }
    const limits = checkOptions<LoginLimits>('bk-login', given, {
      timeout: 'timer',
      keep: 'time',
      keepRefused: 'time',
    })
    const service = new LoginService({ ...question, url: api + path }, limits, app.log)
    app.addHook('onClose', async () => service.close())
    const origins = readOrigins('bk-login', options.origins ?? env.BK_LOGIN_ORIGINS)
    addStrategy(app, createBkLogin(name, { service, page: `${page}/`, cookie, toUser, origins }))
  },
})

interface Question extends Omit<LoginQuestion, 'url'> {
  readonly url?: string
  readonly path: string
}

const ASK_ITSELF: Question = { path: '/accounts/is_login/', read: readLogin }

function askGateway(env: Static<TObject<typeof BLUEKING>>): Question {
  const { BK_API_URL_TMPL, BKPAAS_APP_ID: app, BKPAAS_APP_SECRET: secret } = env
  if (!BK_API_URL_TMPL || !app || !secret)
    throw invalidOption(
      'bk-login',
      'gateway',
      true,
      'BK_API_URL_TMPL, BKPAAS_APP_ID and BKPAAS_APP_SECRET with it',
    )
  return {
    url: `${bkApiUrl(BK_API_URL_TMPL, 'bk-login', 'prod')}/login`,
    path: '/api/v3/open/bk-tokens/verify/',
    // Whose tenant it is tells the answer.
    headers: {
      ...bkAuthorization({ bk_app_code: app, bk_app_secret: secret }),
      'x-bk-tenant-id': 'default',
    },
    statuses: [200, 400],
    read: readGatewayLogin,
  }
}

/** Without the slash at its end. */
function readAddress(
  option: 'url' | 'apiUrl',
  value: string | undefined,
  variable: string,
): string {
  if (value === undefined || !/^https?:[^?#]*$/.test(value) || !URL.canParse(value))
    throw invalidOption(
      'bk-login',
      option,
      value,
      `a URL with http or https, and without a query${variable && ` (${variable})`}`,
    )
  return value.replace(/\/+$/, '')
}
