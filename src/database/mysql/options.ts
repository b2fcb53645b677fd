import type { PoolOptions } from 'mysql2'
import type { DatabaseLimits } from '../types.ts'
import type { MysqlTarget } from '../url.ts'
import type { Sockets } from './sockets.ts'

/** What mysql2's pool is made of. The texts that it hands out become our types in columns.ts. */
export function poolOptions(
  { host, port, user, password, database, tls }: MysqlTarget,
  { poolSize, queueLimit, connectTimeout }: DatabaseLimits,
  sockets: Sockets,
): PoolOptions {
  return {
    ...{ host, port, user, password, database, connectTimeout, queueLimit },
    ...(tls && { ssl: { rejectUnauthorized: tls.verify, verifyIdentity: tls.verify } }),
    connectionLimit: poolSize,
    stream: () => sockets.connect(host, port),
    timezone: 'Z',
    dateStrings: true,
    supportBigNumbers: true,
    jsonStrings: true,
  }
}
