import type { FastifyInstance } from 'fastify'
import type { TNull, TObject, TSchema } from 'typebox'
import { readCookie } from '../auth/browser.ts'
import { bkApiUrl, bkAuthorization } from '../config/blueking.ts'
import { errors } from '../errors.ts'
import type { ParsedAnswer } from '../http/envelope.ts'
import type { Context, User } from '../resource/context.ts'
import type { Resource } from '../resource/resource.ts'
import { chooseParser } from './answered.ts'
import { type ApiDefinition, type ApiResourceDefinition, defineApi } from './api.ts'
import type { ApiCall, ApiFailure, ApiHeaders, ApiRequest, ApiSettings } from './api-settings.ts'

interface BkApiAuth {
  /**
   * Which calls are made in the name of the platform (BK_PLATFORM_ACCESS_TOKEN, BK_PLATFORM_USERNAME) where BK_PLATFORM_AUTH is on: those
   * that no client has made, or all of them. Default `background`.
   */
  platform?: 'background' | 'always'
}

/** A system behind BlueKing's API gateway, or a component API, as `defineBkApi` takes it. */
export interface BkApiDefinition extends Omit<ApiDefinition, 'baseUrl' | 'auth'>, BkApiAuth {
  /** What the gateway calls it; default: `name`. */
  api?: string
  /** Of the gateway; default: `prod` where BKPAAS_ENVIRONMENT is that, else `stag`. */
  stage?: 'prod' | 'stag'
  /** Whether it is one of the older component APIs (ESB), at BK_COMPONENT_API_URL; default false. */
  esb?: boolean
  /** Where it is in place of both. */
  baseUrl?: ApiDefinition['baseUrl']
  /** Cookies of our client that go on to it; default `blueking_language` and `django_language`. */
  cookies?: readonly string[]
  /** The cookies of our client by which it knows the user, by what it calls them; default `{ bk_token: 'bk_token' }`. */
  tokens?: Readonly<Record<string, string>>
  /** What it calls a user; undefined: nothing it knows. Default: the id, unless the user is an app (`app:CODE`). */
  username?: (user: User) => string | undefined
}

/** Without `origin`: what says who calls is for no place that comes from data. */
export type BkApiResourceDefinition<Req extends TSchema, Res extends TSchema> = Omit<
  ApiResourceDefinition<Req, Res>,
  'origin'
> &
  BkApiAuth

/** A system of BlueKing, whose operations are resources of the service. */
export interface BkApi {
  readonly name: string
  /** As that of any API. @throws {PlinthError} API_INVALID */
  resource<Req extends TSchema = TObject<Record<never, never>>, Res extends TSchema = TNull>(
    definition: BkApiResourceDefinition<Req, Res>,
  ): Resource<Req, Res>
}

/** What the original's permission centre (IAM) refuses with. */
const IAM = '9900403'
const LANGUAGE = 'blueking_language'

/**
 * Describes an API of BlueKing: of its gateway, or one of the older component APIs. Each call says which application this is (BKPAAS_APP_ID,
 * BKPAAS_APP_SECRET) and for whom it calls: by the cookie `bk_token` of the client and the name of the user, or in the name of the platform.
 */
export function defineBkApi(definition: BkApiDefinition): BkApi {
  const { name, api = name, stage, esb, baseUrl, ...others } = definition
  const { cookies, tokens, username, ...rest } = others
  const { platform: usual = 'background', ...settings } = rest
  const identity = {
    name,
    cookies: cookies ?? [LANGUAGE, 'django_language'],
    tokens: tokens ?? { bk_token: 'bk_token' },
    username: username ?? nameOf,
  }
  const urlOf = ({ config }: { config: Config }) => {
    if (!config?.BKPAAS_APP_ID || !config.BKPAAS_APP_SECRET)
      throw errors.API_INVALID(name, 'BKPAAS_APP_ID and BKPAAS_APP_SECRET are not both set')
    if (baseUrl !== undefined) return typeof baseUrl === 'function' ? baseUrl({ config }) : baseUrl
    return esb ? componentUrl(name, api, config) : gatewayUrl(name, api, stage, config)
  }
  const made = defineApi({
    ...settings,
    ...adapt({ ...settings, envelope: settings.envelope ?? 'standard' }),
    name,
    baseUrl: urlOf,
    tls: verifying(settings.tls),
    errors: {
      [IAM]: permissionDenied,
      ...settings.errors,
    },
  })
  return {
    name,
    resource({ platform = usual, ...own }) {
      const { beforeRequest = settings.hooks?.beforeRequest } = own.hooks ?? {}
      return made.resource({
        ...own,
        ...adapt(own),
        ...('tls' in own && { tls: verifying(own.tls) }),
        hooks: {
          ...own.hooks,
          async beforeRequest(request, call) {
            identify(request, call.context, platform, identity)
            await beforeRequest?.(request, call as ApiCall<never>)
          },
        },
      })
    },
  }
}

type Config = FastifyInstance['config']

/** @throws {PlinthError} API_INVALID */
function gatewayUrl(name: string, api: string, stage: string | undefined, config: Config): string {
  const { BK_API_URL_TMPL: template, BKPAAS_ENVIRONMENT: told, NODE_ENV } = config
  if (!template) throw errors.API_INVALID(name, 'BK_API_URL_TMPL is not set')
  const environment = told ?? (NODE_ENV === 'production' ? 'prod' : 'dev')
  return bkApiUrl(template, api, stage ?? (environment === 'prod' ? 'prod' : 'stag'))
}

/** @throws {PlinthError} API_INVALID */
function componentUrl(name: string, api: string, { BK_COMPONENT_API_URL: url }: Config): string {
  if (!url) throw errors.API_INVALID(name, 'BK_COMPONENT_API_URL is not set')
  return `${url.replace(/\/+$/, '')}/api/c/compapi/v2/${api}`
}

/** BK_API_VERIFY_TLS counts where the API itself says nothing. */
function verifying(tls: ApiSettings['tls']): NonNullable<ApiSettings['tls']> {
  return ({ config }) => ({
    ...(config.BK_API_VERIFY_TLS === false && { rejectUnauthorized: false }),
    ...(typeof tls === 'function' ? tls({ config }) : tls),
  })
}

/** Whatever the form of answers, the permission centre says by its code which permission is to be applied for. */
function adapt({ envelope }: Pick<ApiSettings, 'envelope'>): Pick<ApiSettings, 'envelope'> {
  if (envelope === undefined) return {}
  const { parse } = chooseParser(envelope)
  return { envelope: { parse: (body, status) => denied(body) ?? parse(body, status) } }
}

function denied(body: unknown): ParsedAnswer | undefined {
  const {
    code,
    message,
    data,
    permission,
    request_id: id,
  } = (body ?? {}) as Record<string, unknown>
  if (String(code) !== IAM) return undefined
  // Data that is no object has no place for it.
  const kept = typeof data === 'object' && !Array.isArray(data) ? data : {}
  const told = permission ? { ...kept, permission } : (data ?? null)
  return {
    ok: false,
    code: IAM,
    message: String(message ?? ''),
    errors: null,
    data: told,
    requestId: typeof id === 'string' ? id : null,
  }
}

/** A refusal of our client, which is no failure of this service: only this line tells of the upstream. */
function permissionDenied({ data, operation, context, status, message, requestId }: ApiFailure) {
  const upstream = { operation, status, code: IAM, message, requestId }
  context.log.info({ upstream }, 'the permission centre of BlueKing refuses a call')
  return errors.BK_PERMISSION_DENIED.with({ data })
}

interface Identity {
  readonly name: string
  readonly cookies: readonly string[]
  readonly tokens: Readonly<Record<string, string>>
  readonly username: (user: User) => string | undefined
}

function nameOf({ id }: User): string | undefined {
  return id.startsWith('app:') ? undefined : id
}

/** Says which application calls, for whom, and in which language. @throws {PlinthError} BK_PLATFORM_AUTH_MISSING */
function identify(
  request: ApiRequest,
  context: Context,
  platform: 'background' | 'always',
  { name, cookies, tokens, username }: Identity,
): void {
  const { app, headers } = context
  const { config } = app
  const isPlatform = config.BK_PLATFORM_AUTH && (platform === 'always' || isBackground(context))
  const user = context.user && username(context.user)
  const said = {
    bk_app_code: String(config.BKPAAS_APP_ID),
    bk_app_secret: String(config.BKPAAS_APP_SECRET),
    ...(isPlatform
      ? platformOf(name, config)
      : { ...(headers && pickCookies(headers, tokens)), ...(user && { bk_username: user }) }),
  }
  for (const [key, value] of Object.entries(said)) if (!PUBLIC.has(key)) request.secrets.push(value)
  Object.assign(request.headers, bkAuthorization(said), travelling(headers, cookies))
}

/** What is said of a call that is no secret. */
const PUBLIC = new Set(['bk_app_code', 'bk_username'])

/** A schedule, a command, a task of a user: no client has made the call, and so there is nothing by which it says who it is. */
function isBackground({ headers, isSystem, user }: Context): boolean {
  return headers === undefined && (isSystem || user !== undefined)
}

/** @throws {PlinthError} BK_PLATFORM_AUTH_MISSING */
function platformOf(name: string, config: Config): Record<string, string> {
  const { BK_PLATFORM_ACCESS_TOKEN: token, BK_PLATFORM_USERNAME: user } = config
  if (!token && !user) throw errors.BK_PLATFORM_AUTH_MISSING(name)
  return { ...(token && { access_token: token }), ...(user && { bk_username: user }) }
}

type Headers = NonNullable<Context['headers']>

/** Cookies of a client as it has sent them, by other names. */
function pickCookies(
  headers: Headers,
  names: Readonly<Record<string, string>>,
): Record<string, string> {
  const found = Object.entries(names).map(([name, cookie]) => [
    name,
    readCookie({ headers }, cookie),
  ])
  return Object.fromEntries(found.filter(([, value]) => value !== undefined))
}

function travelling(
  headers: Headers | undefined,
  names: readonly string[],
): ApiHeaders & Record<string, string> {
  if (!headers) return {}
  const cookies = pickCookies(headers, Object.fromEntries(names.map((name) => [name, name])))
  const pairs = Object.entries(cookies).map(([name, value]) => `${name}=${value}`)
  const language = languageOf(headers)
  return {
    ...(pairs.length > 0 && { cookie: pairs.join('; ') }),
    ...(language && { 'blueking-language': language }),
  }
}

/** As BlueKing's systems call it: `zh-cn` or `en`, unless the cookie says something else. */
function languageOf(headers: Headers): string | undefined {
  const told = readCookie({ headers }, LANGUAGE)
  if (told !== undefined && /^[\w-]{2,20}$/.test(told)) return told
  const accepted = /^\s*([a-z]{2})\b/i.exec(headers['accept-language'] ?? '')?.[1]
  return accepted && (accepted.toLowerCase() === 'zh' ? 'zh-cn' : 'en')
}
