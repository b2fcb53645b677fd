import type { MysqlPool } from 'kysely'
import type { Pool, PoolConnection } from 'mysql2'
import { DeadlineQueue, LONGEST_TIMER } from '../../../deadlines.ts'
import { errors } from '../../../errors.ts'
import {
  type DatabaseUsage,
  FOREVER,
  type OpenDatabase,
  type ReadLimits,
  type TimeLeft,
} from '../../types.ts'
import { LongestWait } from '../longest-wait.ts'
import type { SlowStatements } from '../slow.ts'
import { BoundedConnection, type Waiting } from './connection.ts'
import { ofConnecting } from './errors.ts'

type Take = (error: unknown, connection: BoundedConnection) => void

// Beside an error nobody looks at the connection.
const NONE = undefined as never

export interface PoolHooks {
  timeLeft?: TimeLeft | undefined
  slow?: SlowStatements | undefined
}

/** mysql2's pool as Kysely sees it: nobody waits for a connection longer than `acquireTimeout`, or than his work may take. */
export class BoundedPool implements MysqlPool, Pick<OpenDatabase, 'waited' | 'usage'> {
  readonly #pool: Pool
  readonly #limits: ReadLimits
  readonly #timeLeft: TimeLeft
  readonly #slow: SlowStatements | undefined
  readonly #known = new WeakMap<PoolConnection, BoundedConnection>()
  readonly #inUse = new Set<BoundedConnection>()
  // One timer for all: whoever waits for a connection or a statement says when that is to end.
  readonly #deadlines = new DeadlineQueue<Waiting>(0, (waiting) => waiting.giveUp())
  readonly #longestWait = new LongestWait()
  #waiting = 0
  #drained: PromiseWithResolvers<void> | undefined

  constructor(pool: Pool, limits: ReadLimits, { timeLeft = FOREVER, slow }: PoolHooks = {}) {
    this.#pool = pool
    this.#limits = limits
    this.#timeLeft = timeLeft
    this.#slow = slow
  }

  getConnection(take: Take): void {
    if (this.#drained) take(errors.DATABASE_UNAVAILABLE('it has been closed'), NONE)
    else {
      const left = this.#timeLeft()
      if (left > 0) this.#wait(take, left)
      else take(errors.DEADLINE_EXCEEDED(0), NONE)
    }
  }

  waited(): number {
    return this.#longestWait.measure(this.#waiting)
  }

  usage(): DatabaseUsage {
    return { used: this.#inUse.size, size: this.#limits.poolSize, waiting: this.#waiting }
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
    const timer = setTimeout(this.#drained.resolve, this.#limits.queryTimeout || LONGEST_TIMER)
    await this.#drained.promise
    clearTimeout(timer)
    for (const connection of this.#inUse) connection.destroy()
  }

  #wait(take: Take, left: number): void {
    const { acquireTimeout } = this.#limits
    this.#waiting++
    this.#longestWait.add()
    const patience = Math.min(acquireTimeout, left)
    let isOver = false
    const giveUp = () => {
      isOver = true
      this.#waiting--
      const late = left < acquireTimeout
      take((late ? errors.DEADLINE_EXCEEDED : errors.DATABASE_BUSY)(Math.ceil(patience)), NONE)
      this.#settle()
    }
    const waiting: Waiting = { at: 0, earlier: undefined, later: undefined, giveUp }
    this.#deadlines.add(waiting, performance.now() + patience)
    this.#pool.getConnection((error, connection) => {
      // mysql2 cannot be told that somebody has given up: what comes too late goes back at once.
      if (isOver) return connection?.release()
      this.#deadlines.remove(waiting)
      this.#waiting--
      if (error) take(ofConnecting(error), NONE)
      else take(null, this.#use(connection))
    })
  }

  // The server does not notice that nobody waits for a statement any more: those would become more and more there.
  #kill(threadId: number): void {
    if (this.#drained) return
    const kill: Take = (error, connection) => {
      if (!error) connection.kill(threadId)
    }
    this.#wait(kill, Number.POSITIVE_INFINITY)
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
    const bound = new BoundedConnection(connection, {
      queryTimeout: this.#limits.queryTimeout,
      timeLeft: this.#timeLeft,
      deadlines: this.#deadlines,
      slow: this.#slow,
      released: () => {
        this.#inUse.delete(bound)
        this.#settle()
      },
      givenUp: (threadId) => this.#kill(threadId),
    })
    this.#known.set(connection, bound)
    return bound
  }
}
