import { Type } from 'typebox'
import { secret } from './secret.ts'

/** What a BlueKing PaaS tells an application of itself and of the API gateway: for the kit, and for plugins that call it. */
export const BLUEKING = {
  BKPAAS_APP_ID: Type.Optional(
    Type.String({ description: 'The id of the application on a BlueKing PaaS.', minLength: 1 }),
  ),
  BKPAAS_APP_MODULE_NAME: Type.Optional(
    Type.String({ description: 'The module of that application.', minLength: 1 }),
  ),
  BKPAAS_APP_SECRET: secret(
    Type.Optional(
      Type.String({ description: 'The secret that belongs to BKPAAS_APP_ID.', minLength: 1 }),
    ),
  ),
  BK_API_URL_TMPL: Type.Optional(
    Type.String({
      description: "Where BlueKing's API gateway has its APIs, each by its name.",
      pattern: '^https?://[^?#]*\\{api_name\\}',
      expected: 'https://bkapi.example.com/api/{api_name}',
    }),
  ),
}

/** How the kit calls those APIs. */
export const BLUEKING_APIS = {
  BK_COMPONENT_API_URL: Type.Optional(
    Type.String({
      description: "Where BlueKing's component APIs (ESB) are.",
      pattern: '^https?://[^?#]+$',
      expected: 'https://bkapi.example.com',
    }),
  ),
  BK_PLATFORM_AUTH: Type.Boolean({
    description:
      'Whether APIs of BlueKing are called in the name of the platform where no client has asked.',
    default: false,
  }),
  BK_PLATFORM_ACCESS_TOKEN: secret(
    Type.Optional(Type.String({ description: 'The access token of the platform.', minLength: 1 })),
  ),
  BK_PLATFORM_USERNAME: Type.Optional(
    Type.String({ description: 'The user in whose name the platform calls.', minLength: 1 }),
  ),
  BK_API_VERIFY_TLS: Type.Boolean({
    description: "Whether certificates of BlueKing's APIs are checked.",
    default: true,
  }),
}

/** The URL of an API of BlueKing's gateway, without a slash at its end. */
export function bkApiUrl(template: string, api: string, stage: string): string {
  return `${template.replace('{api_name}', api).replace(/\/+$/, '')}/${stage}`
}

/** The header by which an application says who it is, and for whom it calls. */
export function bkAuthorization(
  said: Readonly<Record<'bk_app_code' | 'bk_app_secret', string>>,
): Record<string, string> {
  // A header has no other characters; names of users do.
  const text = JSON.stringify(said).replaceAll(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return { 'x-bkapi-authorization': text }
}
