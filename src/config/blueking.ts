import { Type } from 'typebox'
import { secret } from './secret.ts'

/** What a BlueKing PaaS tells an application of itself and of the API gateway: for the kit, and for plugins that call it. */
export const BLUEKING = {
  BKPAAS_APP_ID: Type.Optional(
    Type.String({ description: 'The id of the application on a BlueKing PaaS.', minLength: 1 }),
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

/** The URL of an API of BlueKing's gateway, without a slash at its end. */
export function bkApiUrl(template: string, api: string, stage: string): string {
  return `${template.replace('{api_name}', api).replace(/\/+$/, '')}/${stage}`
}

/** The header by which an application says who it is, and for whom it calls. */
export function bkAuthorization(said: {
  readonly bk_app_code: string
  readonly bk_app_secret: string
  readonly bk_token?: string
  readonly bk_username?: string
  readonly access_token?: string
}): Record<string, string> {
  return { 'x-bkapi-authorization': JSON.stringify(said) }
}
