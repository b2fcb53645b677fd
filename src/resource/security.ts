/**
 * How a client may authenticate, as OpenAPI says it: by all schemes of any one entry, with the scopes of each. `{}` is
 * without, an empty list is for everybody.
 */
export type Security = readonly Readonly<Record<string, readonly string[]>>[]

interface Described {
  description?: string
}

interface Flow {
  authorizationUrl?: string
  tokenUrl?: string
  refreshUrl?: string
  /** What each is for. */
  scopes: Readonly<Record<string, string>>
}

/** A way to authenticate, as OpenAPI describes it. */
export type SecurityScheme = Described &
  (
    | { type: 'http'; scheme: string; bearerFormat?: string }
    | { type: 'apiKey'; in: 'header' | 'query' | 'cookie'; name: string }
    | { type: 'openIdConnect'; openIdConnectUrl: string }
    | { type: 'mutualTLS' }
    | {
        type: 'oauth2'
        flows: Readonly<
          Partial<Record<'implicit' | 'password' | 'clientCredentials' | 'authorizationCode', Flow>>
        >
      }
  )

/** What the API document says of authentication; nothing of it is enforced. */
export interface SecurityInfo {
  /** By name. */
  securitySchemes?: Readonly<Record<string, SecurityScheme>>
  /** Of the operations that say nothing of their own; default: none is told. */
  security?: Security
}
