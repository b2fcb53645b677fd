import type { Duplex, Readable } from 'node:stream'
import type { MysqlPool, MysqlPoolConnection, MysqlQueryResult } from 'kysely'
import type { Pool, PoolConnection, QueryOptions } from 'mysql2'
import { DeadlineQueue, LONGEST_TIMER, type Timed, whenLate } from '../../../deadlines.ts'
import { errors } from '../../../errors.ts'
import {
  type DatabaseUsage,
  FOREVER,
  type OpenDatabase,
  type ReadLimits,
  type Row,
  type TimeLeft,
} from '../../types.ts'
import { LongestWait, type SlowLog, type SlowStatements } from '../driver.ts'
import { bindable } from '../values.ts'
import {
  endsConnection,
  isSilence,
  lost,
  type MysqlError,
  ofConnecting,
  ofQuery,
  silent,
} from './errors.ts'
import { type Conversions, conversionsOf, convertRow, type Field } from './values.ts'

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
      if (!error) return take(null, this.#use(connection))
      take(ofConnecting(error), NONE)
      this.#settle()
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

// Milliseconds that a server has to end a statement by itself before we take it for dead.
const GRACE = 1000

// Milliseconds that we wait for what is always short: more than a machine stands still.
const PROMPT = 5000

const toMysql = (date: Date) => date.toISOString().replace('T', ' ').slice(0, -1)

// What ends a transaction, or a part of it, is done however late it is.
const ENDS = /^(?:commit|rollback|release)\b/

type Answer = (error: unknown, result: MysqlQueryResult) => void

/** `result` as mysql2 gives it. */
type Told = (error: MysqlError | null, result?: unknown, fields?: readonly unknown[]) => void

/** Who does not wait for longer than he has said. */
export interface Waiting extends Timed {
  giveUp: () => void
}

interface ConnectionOptions {
  /** Milliseconds; 0: none. */
  queryTimeout: number
  timeLeft: TimeLeft
  /** Of all connections of a pool. */
  deadlines: DeadlineQueue<Waiting>
  slow: SlowStatements | undefined
  /** Called each time that it goes back to the pool. */
  released: () => void
  /** Called when it was destroyed while the server may still be at work for it. */
  givenUp: (threadId: number) => void
}

/** A statement that took so many ms. */
interface Taken {
  sql: string
  values: unknown[]
  took: number
}

/** A connection of the pool as Kysely sees it: with our types, our errors and an end to every wait. */
export class BoundedConnection implements MysqlPoolConnection {
  readonly #connection: PoolConnection
  readonly #options: ConnectionOptions
  #destroyed = false
  // Whether the last statement was for the transaction after it.
  #preparesNext = false

  constructor(connection: PoolConnection, options: ConnectionOptions) {
    this.#connection = connection
    this.#options = options
  }

  get config(): object {
    return this.#connection.config
  }

  get threadId(): number {
    return this.#connection.threadId
  }

  connect(callback?: (error: unknown) => void): void {
    this.#connection.connect(callback)
  }

  query(sql: string, parameters: readonly unknown[], answer?: Answer) {
    const values = bindable(parameters, toMysql)
    if (answer) this.#run(sql, values, answer)
    return { stream: () => this.#stream(sql, values) }
  }

  release(): void {
    // That transaction has not begun: the settings would be those of the next user's.
    if (this.#preparesNext) this.destroy()
    this.#connection.release()
    this.#options.released()
  }

  /** Ends another connection of the server, and goes back to the pool. */
  kill(threadId: number): void {
    this.#ask({ sql: `kill ${threadId}` }, PROMPT, (error) => {
      if (error && endsConnection(error)) this.destroy()
      this.release()
    })
  }

  /** Takes it out of the pool and ends it at once, without waiting for the server; its query fails. */
  destroy(): void {
    this.#destroyed = true
    this.#connection.destroy()
    this.#socket.destroy(new Error('The connection was given up'))
  }

  // Missing in mysql2's types.
  get #socket(): Duplex {
    return (this.#connection as PoolConnection & { stream: Duplex }).stream
  }

  #run(sql: string, values: unknown[], answer: Answer): void {
    const left = ENDS.test(sql) ? Number.POSITIVE_INFINITY : this.#options.timeLeft()
    // The server has undone what was begun on it; why it was destroyed is what the caller should see.
    if (this.#destroyed && sql === 'rollback') answer(null, [])
    else if (left > 0) this.#send(sql, values, left, answer)
    else answer(errors.DEADLINE_EXCEEDED(0), [])
  }

  #send(sql: string, values: unknown[], left: number, answer: Answer): void {
    const patience = Math.min(this.#patience || Number.POSITIVE_INFINITY, left)
    const late = left === patience ? Math.ceil(left) : undefined
    const { slow } = this.#options
    const log = slow?.log
    const began = performance.now()
    this.#preparesNext = sql.startsWith('set transaction')
    this.#ask({ sql, values }, patience, (error, result, fields) => {
      if (error && isSilence(error)) return answer(this.#failed(error, late), [])
      const told = error && this.#failed(error)
      const took = performance.now() - began
      if (log && slow?.isSlow(took)) this.#tell(slow, log, { sql, values, took })
      if (told) return answer(told, [])
      answer(null, convert(result, fields as Field[] | undefined))
    })
  }

  /** @param patience milliseconds; where nothing has come in that time, the error is that of silence */
  #ask(query: QueryOptions, patience: number, told: Told): void {
    const { deadlines } = this.#options
    let isOver = false
    const giveUp = () => {
      isOver = true
      told(silent())
    }
    const waiting: Waiting = { at: 0, earlier: undefined, later: undefined, giveUp }
    if (patience < Number.POSITIVE_INFINITY) deadlines.add(waiting, performance.now() + patience)
    this.#connection.query(query, (error, result, fields) => {
      if (isOver) return
      deadlines.remove(waiting)
      told(error, result, fields)
    })
  }

  // On the same connection, before whatever its user does next: it waits for no other, and is short.
  #tell(slow: SlowStatements, log: SlowLog, { sql, values, took }: Taken): void {
    const tell = (plan?: unknown) => slow.tell(log, sql, took, plan)
    if (this.#destroyed || !slow.wantsPlan(sql)) {
      tell()
      return
    }
    this.#ask({ sql: `explain ${sql}`, values }, PROMPT, (error, plan) => {
      if (error && endsConnection(error)) this.destroy()
      tell(error ? undefined : plan)
    })
  }

  async *#stream(sql: string, values: unknown[]): AsyncGenerator<Row> {
    let read: string | undefined
    try {
      read = yield* streamRows(this.#connection, sql, values, this.#patience)
    } catch (error) {
      throw this.#failed(error as MysqlError)
    } finally {
      // Whoever stops early leaves rows on their way, which the connection's next user would have to wait for.
      if (read !== 'all') this.destroy()
    }
  }

  get #patience(): number {
    const { queryTimeout } = this.#options
    return queryTimeout && queryTimeout + GRACE
  }

  /** @param late how many milliseconds it had, where that was less than the server has */
  #failed(error: MysqlError, late?: number): Error {
    if (endsConnection(error)) this.destroy()
    if (late === undefined || !isSilence(error)) return ofQuery(error, this.#options.queryTimeout)
    this.#options.givenUp(this.threadId)
    return errors.DEADLINE_EXCEEDED.with({ cause: error }, late)
  }
}

// A stored procedure answers with several results; they stay as they are.
function convert(result: unknown, fields: readonly Field[] | undefined): MysqlQueryResult {
  if (fields && Array.isArray(result) && !Array.isArray(fields[0])) {
    const conversions = conversionsOf(fields)
    if (conversions.length > 0) for (const row of result) convertRow(row, conversions)
  }
  return result as MysqlQueryResult
}

// As many as are read while the reader is busy; with Node.js's 16 streaming takes half as long again.
const ROWS_AHEAD = 100

/**
 * The rows of a query one after the other, with our types.
 *
 * @param patience milliseconds that the server may let us wait for a row; 0: as long as it wants
 */
async function* streamRows(
  connection: PoolConnection,
  sql: string,
  values: unknown[],
  patience: number,
): AsyncGenerator<Row, 'all'> {
  let conversions: Conversions = []
  const query = connection.query({ sql, values })
  query.once('fields', (fields: Field[]) => {
    conversions = conversionsOf(fields)
  })
  const rows = query.stream({ highWaterMark: ROWS_AHEAD })
  const stopWatching = watch(connection, rows)
  try {
    for await (const row of impatient(rows, patience)) yield convertRow(row, conversions)
    return 'all'
  } finally {
    stopWatching()
  }
}

// The time that our reader takes for a row is his.
async function* impatient(rows: Readable, patience: number): AsyncGenerator<Row> {
  const start = () => (patience ? whenLate(patience, () => rows.destroy(silent())) : undefined)
  let inTime = start()
  try {
    for await (const row of rows) {
      inTime?.()
      yield row
      inTime = start()
    }
  } finally {
    inTime?.()
  }
}

// mysql2 does not tell a query without a callback that its connection is lost.
function watch(connection: PoolConnection, rows: Readable): () => void {
  const { stream: socket } = connection as PoolConnection & { stream: Duplex }
  const fail = (error: Error) => rows.destroy(error)
  const closed = () => rows.destroy(lost())
  connection.once('error', fail)
  socket.once('close', closed)
  return () => {
    connection.off('error', fail)
    socket.off('close', closed)
  }
}
