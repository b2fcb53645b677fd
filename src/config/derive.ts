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

/**
 * Works out what nobody has set: the mode and what depends on it, and the URLs from their parts.
 *
 * @param prefixes what the names of the variables of one attached resource begin with: `''`, `'ARCHIVE_'`
 */
export function derive(raw: RawValues, prefixes: readonly string[] = ['']): Derived {
  const mode = raw.NODE_ENV ?? modeOf(raw.BKPAAS_ENVIRONMENT)
  const production = mode === 'production'
  const fallbacks = {
    NODE_ENV: mode,
    HOST: production ? '0.0.0.0' : '127.0.0.1',
    ADMIN: String(mode === 'development'),
    DEVELOPER: String(mode === 'development'),
    DOCS: String(!production),
    CONTRACT: String(!production),
    QUEUES: String(!production),
    LOAD_SHEDDING: String(production),
    // Balancers ask every few seconds, and send requests until they have heard.
    DRAIN_DELAY: production ? '5000' : '0',
    DATABASE_URL: LOCAL_DATABASES[mode],
    PLINTH_MODULES: '__all__',
  }
  const parts: Derived['parts'] = { PLINTH_MODULES: raw.BKAPP_DEPLOY_MODULE }
  const missing: string[] = []
  for (const prefix of prefixes) {
    const of = (name: string) => raw[prefix + name]
    parts[`${prefix}DATABASE_URL`] = mysqlUrl(of)
    parts[`${prefix}REDIS_URL`] = redisUrl(of)
    missing.push(...missingParts(of).map((name) => prefix + name))
  }
  return { fallbacks, parts, missing }
}

/** A variable of one attached resource, by its name in the kit. */
type Of = (name: string) => string | undefined

function modeOf(environment: string | undefined): string {
  return environment === 'stag' || environment === 'prod' ? 'production' : 'development'
}

function missingParts(of: Of): string[] {
  if (of('DATABASE_URL') !== undefined || of('MYSQL_HOST') === undefined) return []
  return ['MYSQL_NAME', 'MYSQL_USER', 'MYSQL_PASSWORD'].filter((name) => of(name) === undefined)
}

function mysqlUrl(of: Of): string | undefined {
  const [host, name, user, password] = ['HOST', 'NAME', 'USER', 'PASSWORD'].map((part) =>
    of(`MYSQL_${part}`),
  )
  if (host === undefined || name === undefined || user === undefined || password === undefined) {
    return undefined
  }
  const login = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`
  return `mysql://${login}@${bracket(host)}:${of('MYSQL_PORT') ?? 3306}/${encodeURIComponent(name)}`
}

function redisUrl(of: Of): string | undefined {
  const [host, password] = [of('REDIS_HOST'), of('REDIS_PASSWORD')]
  if (host === undefined) return undefined
  const login = password ? `:${encodeURIComponent(password)}@` : ''
  return `redis://${login}${bracket(host)}:${of('REDIS_PORT') ?? 6379}/${of('REDIS_DB') ?? 0}`
}

function bracket(host: string): string {
  return isIPv6(host) ? `[${host}]` : host
}
