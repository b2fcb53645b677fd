import type { MysqlPool } from 'kysely'
import type { Pool, PoolConnection } from 'mysql2'
import { errors } from '../../errors.ts'
import type { DatabaseLimits } from '../types.ts'
import { BoundedConnection } from './connection.ts'
import { ofConnecting } from './failure.ts'

type Take = (error: unknown, connection: BoundedConnection) => void

// Beside an error nobody looks at the connection.
const NONE = undefined as never

// The longest time that a timer knows.
const FOREVER = 2 ** 31 - 1

/** mysql2's pool as Kysely sees it: nobody waits for a connection longer than `acquireTimeout`. */
export class BoundedPool implements MysqlPool {
  readonly #pool: Pool
  readonly #limits: DatabaseLimits
  readonly #known = new WeakMap<PoolConnection, BoundedConnection>()
  readonly #inUse = new Set<BoundedConnection>()
  #waiting = 0
  #drained: PromiseWithResolvers<void> | undefined

  constructor(pool: Pool, limits: DatabaseLimits) {
    this.#pool = pool
    this.#limits = limits
  }

  getConnection(take: Take): void {
    if (this.#drained) take(errors.DATABASE_UNAVAILABLE('it has been closed'), NONE)
    else this.#wait(take)
  }

  /** Kysely's way to close; the pool itself is ended by its maker, @fastify/mysql. */
  end(ended: (error: unknown) => void): void {
    this.drain().then(() => ended(null), ended)
  }

  /**
   * Lets nobody in any more and waits until all connections are back, at most as long as a query may take.
   * Those that are not are destroyed, which fails their queries.
   */
  async drain(): Promise<void> {
    this.#drained ??= Promise.withResolvers()
    this.#settle()
    const timer = setTimeout(this.#drained.resolve, this.#limits.queryTimeout || FOREVER)
    await this.#drained.promise
    clearTimeout(timer)
    for (const connection of this.#inUse) connection.destroy()
  }

  #wait(take: Take): void {
    const { acquireTimeout } = this.#limits
    this.#waiting++
    let timer: NodeJS.Timeout | undefined = setTimeout(() => {
      timer = undefined
      this.#waiting--
      take(errors.DATABASE_BUSY(acquireTimeout), NONE)
    }, acquireTimeout)
    this.#pool.getConnection((error, connection) => {
      // mysql2 cannot be told that somebody has given up: what comes too late goes back at once.
      if (!timer) return connection?.release()
      clearTimeout(timer)
      this.#waiting--
      if (error) take(ofConnecting(error), NONE)
      else take(null, this.#use(connection))
    })
  }

  #settle(): void {
    if (this.#waiting === 0 && this.#inUse.size === 0) this.#drained?.resolve()
  }

  #use(connection: PoolConnection): BoundedConnection {
    const bound = this.#known.get(connection) ?? this.#bind(connection)
    this.#inUse.add(bound)
    return bound
  }

  #bind(connection: PoolConnection): BoundedConnection {
    const bound = new BoundedConnection(connection, this.#limits.queryTimeout, () => {
      this.#inUse.delete(bound)
      this.#settle()
    })
    this.#known.set(connection, bound)
    return bound
  }
}
