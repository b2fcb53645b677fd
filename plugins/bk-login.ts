import { Type } from 'typebox'
import { addStrategy } from '../src/auth/authenticator.ts'
import { createBkLogin, type UserOfPerson } from '../src/auth/bk-login.ts'
import { readOrigins } from '../src/auth/browser.ts'
import {
  LOGIN_LIMITS,
  type LoginLimits,
  LoginService,
  type Person,
} from '../src/auth/login-service.ts'
import { definePlugin } from '../src/plugin.ts'
import { checkOptions, invalidOption } from '../src/plugin-guards.ts'

export type { LoginLimits, Person }

export interface BkLoginOptions {
  /** The login service as browsers reach it: `https://paas.example.com/login`. Default: BK_LOGIN_URL. */
  url?: string
  /** The same as this service reaches it. Default: BK_LOGIN_API_URL, or `url`. */
  apiUrl?: string
  /** Where behind `apiUrl` it is asked; default `/accounts/is_login/`. */
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
  env: Type.Object({
    BK_LOGIN_URL: Type.Optional(
      Type.String({ description: "BlueKing's login service, as browsers reach it.", ...ADDRESS }),
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
  }),
  register(app, options: BkLoginOptions, { name, env }) {
    checkOptions<BkLoginOptions>('bk-login', options, {
      url: 'text?',
      apiUrl: 'text?',
      path: 'text?',
      cookie: 'text?',
      origins: 'some?',
      limits: 'object?',
      toUser: 'function?',
    })
    const { url = env.BK_LOGIN_URL, path = '/accounts/is_login/', cookie = 'bk_token' } = options
    const { toUser = ({ username }) => ({ id: username }) } = options
    const page = readAddress('url', url, 'BK_LOGIN_URL')
    const api = readAddress('apiUrl', options.apiUrl ?? env.BK_LOGIN_API_URL ?? url, '')
    if (!path.startsWith('/')) throw invalidOption('bk-login', 'path', path, 'a path')
    const limits = { ...LOGIN_LIMITS, ...options.limits }
    checkOptions<LoginLimits>('bk-login', limits, {
      timeout: 'number',
      keep: 'number',
      keepRefused: 'number',
    })
    const service = new LoginService(api + path, limits, app.log)
    app.addHook('onClose', async () => service.close())
    const origins = readOrigins('bk-login', options.origins ?? env.BK_LOGIN_ORIGINS)
    addStrategy(app, createBkLogin(name, { service, page: `${page}/`, cookie, toUser, origins }))
  },
})

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
