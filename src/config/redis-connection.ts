/** @ts-ignore: there where it is installed */
import type { RedisOptions } from 'ioredis'
import { errors } from '../errors.ts'

/** As ioredis' constructor takes them: its own type has one property that it refuses. */
export type ConnectionOptions = Omit<RedisOptions, 'replyMapping'>

export interface RedisLimits {
  /** Milliseconds that one command may take on the path of requests; default 250. */
  commandTimeout: number
  /** Milliseconds that making a connection may take; default 2000. */
  connectTimeout: number
}

export const REDIS_LIMITS: RedisLimits = { commandTimeout: 250, connectTimeout: 2000 }

// Back within a second of Redis' return, without a storm of connections.
const retryStrategy = (times: number): number => Math.min(50 * 2 ** times, 500)

/**
 * A connection on the path of requests: what cannot be done at once fails at once, so that nobody waits for a
 * Redis that is away.
 *
 * @throws {PlinthError} REDIS_URL_INVALID
 */
export function requestConnection(url: string, limits: RedisLimits): ConnectionOptions {
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

/**
 * A connection that waits: of workers and schedulers, whose commands block and outlive an outage.
 *
 * @throws {PlinthError} REDIS_URL_INVALID
 */
export function lastingConnection(
  url: string,
  { connectTimeout }: Pick<RedisLimits, 'connectTimeout'> = REDIS_LIMITS,
): ConnectionOptions {
  return { ...parseRedisUrl(url), connectTimeout, maxRetriesPerRequest: null, retryStrategy }
}

/**
 * Reads `redis://user:password@host:6379/0`, `rediss://` for TLS.
 *
 * @throws {PlinthError} REDIS_URL_INVALID, which tells nothing of the URL that could be a password
 */
export function parseRedisUrl(url: string): ConnectionOptions {
  // Not `new URL`: its error carries the input, with the password.
  const parsed = URL.parse(url)
  const tls = parsed?.protocol === 'rediss:'
  if (!parsed || !(tls || parsed.protocol === 'redis:')) {
    throw errors.REDIS_URL_INVALID('it is no URL of redis:// or rediss://')
  }
  const [, db] = /^\/?(\d{0,5})$/.exec(parsed.pathname) ?? []
  if (db === undefined)
    throw errors.REDIS_URL_INVALID('after the host comes the number of a database')
  const host = parsed.hostname.replace(/^\[|\]$/g, '')
  if (!host) throw errors.REDIS_URL_INVALID('it names no host')
  const options: ConnectionOptions = { host, port: Number(parsed.port || 6379), db: Number(db) }
  if (parsed.username) options.username = decode(parsed.username)
  if (parsed.password) options.password = decode(parsed.password)
  if (tls) options.tls = { servername: host }
  return options
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw errors.REDIS_URL_INVALID('write a % in its user or password as %25')
  }
}
