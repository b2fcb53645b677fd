import { isIPv6 } from 'node:net'

/** Variables as text, before they are validated. An absent name is not set. */
export type RawValues = Readonly<Record<string, string | undefined>>

export interface Derived {
  /** By the mode, where nothing says more. */
  fallbacks: Record<string, string | undefined>
  /** From their parts, or another name, where those are set. */
  parts: Record<string, string | undefined>
  /** Names that must be set because another is, and are not. */
  missing: string[]
}

// Tests must not touch what a developer has in the file.
const LOCAL_DATABASES: Record<string, string> = {
  development: 'sqlite:./data/dev.db',
  test: 'sqlite::memory:',
}

/** Works out what nobody has set: the mode and what depends on it, and the URLs from their parts. */
export function derive(raw: RawValues): Derived {
  const mode = raw.NODE_ENV ?? modeOf(raw.BKPAAS_ENVIRONMENT)
  const production = mode === 'production'
  const fallbacks = {
    NODE_ENV: mode,
    HOST: production ? '0.0.0.0' : '127.0.0.1',
    DOCS: String(!production),
    QUEUES: String(!production),
    // Balancers ask every few seconds, and send requests until they have heard.
    DRAIN_DELAY: production ? '5000' : '0',
    DATABASE_URL: LOCAL_DATABASES[mode],
    PLINTH_MODULES: '__all__',
  }
  const parts = {
    DATABASE_URL: mysqlUrl(raw),
    REDIS_URL: redisUrl(raw),
    PLINTH_MODULES: raw.BKAPP_DEPLOY_MODULE,
  }
  return { fallbacks, parts, missing: missingParts(raw) }
}

function modeOf(environment: string | undefined): string {
  return environment === 'stag' || environment === 'prod' ? 'production' : 'development'
}

function missingParts(raw: RawValues): string[] {
  if (raw.DATABASE_URL !== undefined || raw.MYSQL_HOST === undefined) return []
  return ['MYSQL_NAME', 'MYSQL_USER', 'MYSQL_PASSWORD'].filter((name) => raw[name] === undefined)
}

function mysqlUrl(raw: RawValues): string | undefined {
  const { MYSQL_HOST: host, MYSQL_NAME: name, MYSQL_USER: user, MYSQL_PASSWORD: password } = raw
  if (host === undefined || name === undefined || user === undefined || password === undefined) {
    return undefined
  }
  const login = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`
  return `mysql://${login}@${bracket(host)}:${raw.MYSQL_PORT ?? 3306}/${encodeURIComponent(name)}`
}

function redisUrl(raw: RawValues): string | undefined {
  const { REDIS_HOST: host, REDIS_PASSWORD: password } = raw
  if (host === undefined) return undefined
  const login = password ? `:${encodeURIComponent(password)}@` : ''
  return `redis://${login}${bracket(host)}:${raw.REDIS_PORT ?? 6379}/${raw.REDIS_DB ?? 0}`
}

function bracket(host: string): string {
  return isIPv6(host) ? `[${host}]` : host
}
