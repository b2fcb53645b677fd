import { resolve } from 'node:path'
import type { Pool, PoolOptions } from 'mysql2'
import { errors } from '../errors.ts'
import { requirePackages } from '../packages.ts'
import type { Model } from './model/types.ts'
import type {
  DatabaseTarget,
  MysqlTarget,
  OpenDatabase,
  OpenOptions,
  SqliteTarget,
} from './types.ts'

// ---- where it is

/**
 * Reads a database URL: `mysql://user:password@host:3306/name` (`?ssl-mode=REQUIRED` or `VERIFY_IDENTITY`
 * for TLS), `sqlite:./file.db`, `sqlite:/file.db` or `sqlite::memory:`.
 *
 * @param root the folder that a relative path starts from; default: the working directory
 * @throws {PlinthError} DATABASE_URL_INVALID, which tells nothing of the URL that could be a password
 */
export function parseDatabaseUrl(url: string, root: string = process.cwd()): DatabaseTarget {
  if (url.startsWith('sqlite:')) return parseSqlite(url.slice('sqlite:'.length), root)
  if (url.startsWith('mysql://')) return parseMysql(url)
  throw errors.DATABASE_URL_INVALID('it starts with neither mysql:// nor sqlite:')
}

/** The URL with its password replaced by `***`; `***` alone where no URL can be made out. */
export function redactUrl(url: string): string {
  const parsed = URL.parse(url)
  if (!parsed) return '***'
  if (parsed.password) parsed.password = '***'
  return parsed.href
}

function parseSqlite(path: string, root: string): SqliteTarget {
  if (path === ':memory:') return { kind: 'sqlite', file: path }
  if (path === '' || path.startsWith('//') || path.includes('?')) {
    throw errors.DATABASE_URL_INVALID('after sqlite: comes a path, without // and ?')
  }
  return { kind: 'sqlite', file: resolve(root, path) }
}

function parseMysql(url: string): MysqlTarget {
  // Not `new URL`: its error carries the input, with the password.
  const parsed = URL.parse(url)
  if (!parsed) throw errors.DATABASE_URL_INVALID(`it is no URL; ${ENCODE}`)
  const { hostname, port, searchParams } = parsed
  const target: MysqlTarget = {
    kind: 'mysql',
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? 3306 : Number(port),
    user: decode(parsed.username, 'user'),
    password: decode(parsed.password, 'password'),
    database: decode(parsed.pathname.slice(1), 'name'),
    ...parseTls(searchParams),
  }
  requireParts(target)
  return target
}

function requireParts({ host, user, database }: MysqlTarget): void {
  if (!host) throw errors.DATABASE_URL_INVALID('it names no host')
  if (!user) throw errors.DATABASE_URL_INVALID('it names no user')
  if (!database) throw errors.DATABASE_URL_INVALID('it names no database')
}

const ENCODE = 'write @ : / ? # % in a user or password as %40 %3A %2F %3F %23 %25'

function decode(text: string, part: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw errors.DATABASE_URL_INVALID(`its ${part} is not percent-encoded; ${ENCODE}`)
  }
}

// The words of MySQL's own clients.
const SSL_MODES = new Map<unknown, Pick<MysqlTarget, 'tls'>>([
  ['DISABLED', {}],
  ['REQUIRED', { tls: { verify: false } }],
  ['VERIFY_IDENTITY', { tls: { verify: true } }],
])

function parseTls(query: URLSearchParams): Pick<MysqlTarget, 'tls'> {
  for (const name of query.keys()) {
    if (name !== 'ssl-mode') {
      throw errors.DATABASE_URL_INVALID(`it has the parameter ${name}; only ssl-mode is known`)
    }
  }
  const tls = query.has('ssl-mode') ? SSL_MODES.get(query.get('ssl-mode')) : {}
  if (!tls) {
    throw errors.DATABASE_URL_INVALID(`ssl-mode is one of ${[...SSL_MODES.keys()].join(', ')}`)
  }
  return tls
}

// ---- opening it

export interface Opening extends OpenOptions {
  readonly models: readonly Model[]
  /** The id of who makes a change; undefined: nobody is known. */
  readonly user: () => string | undefined
}

/** Makes the pool of MySQL, whose first query has been answered. */
type MakePool = (options: PoolOptions) => Promise<Pool>

/**
 * Opens a database, on which `models` are as they say.
 *
 * @param makePool makes a pool that its maker closes; default: one that is closed with the database
 * @throws {PlinthError} MODEL_INVALID; DATABASE_UNAVAILABLE with the place and the reason; PACKAGE_MISSING
 */
export async function openDatabase(
  target: DatabaseTarget,
  { models, user, ...options }: Opening,
  makePool?: MakePool,
): Promise<OpenDatabase> {
  const { assertModels } = await import('./model/check.ts')
  const { modelDialect } = await import('./model/query/transform.ts')
  assertModels(models)
  const opening: OpenOptions = {
    ...options,
    adapt: (dialect) => modelDialect(dialect, { models, user }),
  }
  if (target.kind === 'mysql') return await openPool(target, opening, makePool)
  const { openSqlite } = await import('./dialect/sqlite/open.ts')
  return await openSqlite(target.file, opening)
}

async function openPool(
  target: MysqlTarget,
  opening: OpenOptions,
  makePool: MakePool | undefined,
): Promise<OpenDatabase> {
  requirePackages('database', ['@fastify/mysql', 'mysql2'])
  const { ofStart } = await import('./dialect/mysql/errors.ts')
  const { openMysql, poolOptions, Sockets } = await import('./dialect/mysql/open.ts')
  const { createPool } = await import('mysql2')
  const sockets = new Sockets()
  try {
    const options = poolOptions(target, opening.limits, sockets)
    const pool = await (makePool ?? ownPool)(options)
    const probe = createPool({ ...options, connectionLimit: 1, queueLimit: 0 })
    const opened = await openMysql(pool, probe, sockets, opening)
    return makePool ? opened : { ...opened, close: () => opened.close().then(() => end(pool)) }
  } catch (error) {
    // A pool whose first query fails is forgotten by its maker.
    sockets.destroy()
    throw ofStart(error as Error, target.host, target.port)
  }
}

async function ownPool(options: PoolOptions): Promise<Pool> {
  const { createPool } = await import('mysql2')
  const pool = createPool({ ...options })
  await new Promise<void>((resolve, reject) =>
    pool.query('select 1', (error) => (error ? reject(error) : resolve())),
  )
  return pool
}

function end(pool: Pool): Promise<void> {
  return new Promise((resolve) => pool.end(() => resolve()))
}
