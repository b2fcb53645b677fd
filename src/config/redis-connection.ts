import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
/** @ts-ignore: there where it is installed */
import type { RedisOptions } from 'ioredis'
import type { Duration, InMilliseconds } from '../duration.ts'
import { errors } from '../errors.ts'

/** As ioredis' constructor takes them: its own type has one property that it refuses. */
export type ConnectionOptions = Omit<RedisOptions, 'replyMapping'>

export interface RedisLimits {
  /** How long one command may take on the path of requests: milliseconds, or a text like `'1s'`; default 250. */
  commandTimeout: Duration
  /** How long making a connection may take, likewise; default 2000. */
  connectTimeout: Duration
}

export const REDIS_LIMITS: InMilliseconds<RedisLimits> = {
  commandTimeout: 250,
  connectTimeout: 2000,
}

// Back within a second of Redis' return, without a storm of connections.
const retryStrategy = (times: number): number => Math.min(50 * 2 ** times, 500)

/**
 * A connection on the path of requests: what cannot be done at once fails at once, so that nobody waits for a
 * Redis that is away.
 *
 * @throws {PlinthError} REDIS_URL_INVALID
 */
export function requestConnection(
  url: string,
  limits: InMilliseconds<RedisLimits>,
): ConnectionOptions {
  const { commandTimeout, connectTimeout } = limits
  return {
    ...parseRedisUrl(url),
    commandTimeout,
    connectTimeout,
    // A connection that has said nothing for so long is given up: the other machine may be gone.
    socketTimeout: Math.max(1000, 4 * commandTimeout),
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    retryStrategy,
    lazyConnect: true,
  }
}

const FORM = /^(rediss?)(\+sentinel)?:\/\/(?:([^/?#]*)@)?([^@/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/
const PLACE = /^(\[[\da-f:.]+\]|[^:,[\]]+)(?::(\d{1,5}))?$/i
/** How long a Sentinel may take to answer, in ms: then the next one is asked. */
const SENTINEL_TIMEOUT = 1000

/**
 * Reads `redis://user:password@host:6379/0` and `redis+sentinel://user:password@host:26379,host:26379/NAME/0`; with `rediss` for
 * TLS. Its parameters: `ca`, `cert` and `key`, files in PEM that are read now; `sentinel`, the `user:password` of the Sentinels.
 *
 * @throws {PlinthError} REDIS_URL_INVALID, which tells nothing of the URL that could be a password
 */
export function parseRedisUrl(url: string): ConnectionOptions {
  const [, scheme, sentinel, login = '', hosts = '', path = '', query] = FORM.exec(url) ?? []
  if (scheme === undefined) {
    throw errors.REDIS_URL_INVALID('it is no URL of redis://, rediss:// or redis+sentinel://')
  }
  const parameters = readParameters(query, scheme === 'rediss', sentinel !== undefined)
  const [username, password] = readLogin(login)
  const known = {
    ...(username && { username }),
    ...(password && { password }),
  }
  const { tls } = parameters
  if (sentinel === undefined) {
    const { host, port } = readPlace(hosts, 6379)
    const db = readDatabase(path)
    if (!tls) return { host, port, db, ...known }
    // By its address it is known without this, which may be none.
    return { host, port, db, ...known, tls: { ...tls, ...(!isIP(host) && { servername: host }) } }
  }
  const [, name, db = ''] = /^([^/]+)(?:\/(.*))?$/.exec(path) ?? []
  if (name === undefined)
    throw errors.REDIS_URL_INVALID('after its hosts comes the name of a master')
  const [sentinelUsername, sentinelPassword] = readLogin(parameters.sentinel ?? '')
  return {
    sentinels: hosts.split(',').map((place) => readPlace(place, 26_379)),
    name: decode(name),
    db: readDatabase(db),
    ...known,
    ...(sentinelUsername && { sentinelUsername }),
    ...(sentinelPassword && { sentinelPassword }),
    ...(tls && { tls, sentinelTLS: tls, enableTLSForSentinelMode: true }),
    sentinelRetryStrategy: retryStrategy,
    sentinelCommandTimeout: SENTINEL_TIMEOUT,
    // They tell of a new master at once; the old one, which may only have fallen silent, does not for seconds.
    failoverDetector: true,
    disconnectTimeout: 500,
  }
}

/** Where a connection leads, in words; without what is secret. */
export function placeOf({ sentinels, name, host, port }: ConnectionOptions): string {
  if (!sentinels) return `${host}:${port}`
  return `${name} by ${sentinels.map(({ host, port }) => `${host}:${port}`).join(', ')}`
}

const TARGET = [
  ...['host', 'port', 'family', 'path', 'db', 'username', 'password', 'tls', 'connectTimeout'],
  ...['sentinels', 'name', 'sentinelUsername', 'sentinelPassword', 'sentinelTLS', 'natMap'],
  ...['enableTLSForSentinelMode', 'sentinelRetryStrategy', 'sentinelCommandTimeout'],
  ...['failoverDetector', 'disconnectTimeout'],
] as (keyof RedisOptions)[]

/** Of the options of a connection those that say where it leads, for one of another kind. */
export function targetOf(options: RedisOptions): RedisOptions {
  const known = TARGET.filter((name) => options[name] !== undefined && options[name] !== null)
  return Object.fromEntries(known.map((name) => [name, options[name]]))
}

function readPlace(text: string, usual: number): { host: string; port: number } {
  if (text === '') throw errors.REDIS_URL_INVALID('it names no host')
  const [, host, port = usual] = PLACE.exec(text) ?? []
  if (host === undefined || Number(port) > 65_535)
    throw errors.REDIS_URL_INVALID('of a host there is a name and the number of a port')
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
}

function readDatabase(text: string): number {
  if (/^\d{0,5}$/.test(text)) return Number(text)
  throw errors.REDIS_URL_INVALID('the last part of its path is the number of a database')
}

function readLogin(login: string): [username: string, password: string] {
  const [, username = '', password = ''] = /^([^:]*)(?::(.*))?$/s.exec(login) ?? []
  return [decode(username), decode(password)]
}

function readParameters(query: string | undefined, isTls: boolean, isSentinel: boolean) {
  const given = new URLSearchParams(query)
  const known = [...(isTls ? ['ca', 'cert', 'key'] : []), ...(isSentinel ? ['sentinel'] : [])]
  const strange = [...given.keys()].find((name) => !known.includes(name))
  if (strange !== undefined) {
    const those = known.length > 0 ? `known are ${known.join(', ')}` : 'none is known here'
    throw errors.REDIS_URL_INVALID(`it has the parameter ${strange}; ${those}`)
  }
  if (given.has('cert') !== given.has('key'))
    throw errors.REDIS_URL_INVALID('cert and key are given together')
  const files = ['ca', 'cert', 'key'].filter((name) => given.has(name))
  const read = files.map((name) => [name, readPem(name, given.get(name) as string)])
  const tls: Record<string, Buffer> | undefined = isTls ? Object.fromEntries(read) : undefined
  return { tls, sentinel: given.get('sentinel') }
}

function readPem(name: string, file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw errors.REDIS_URL_INVALID(`the file of its parameter ${name} cannot be read (${code})`)
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw errors.REDIS_URL_INVALID('write a % in its user or password as %25')
  }
}
