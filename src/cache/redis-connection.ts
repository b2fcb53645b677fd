import { createHash, randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
/** @ts-ignore: there where it is installed */
import type { Command, Redis } from 'ioredis'
import { DeadlineQueue, type Timed } from '../deadlines.ts'
import { steady } from '../steady.ts'
import type { CacheCounts } from './types.ts'

/** What a call gives that Redis did not answer. */
export const UNAVAILABLE: unique symbol = Symbol('unavailable')

export interface Log {
  warn(fields: object, message: string): void
  info(fields: object, message: string): void
}

export interface ConnectionOptions {
  /** Who uses it, in what is logged: `cache`. */
  owner: string
  client: Redis
  /** ioredis' own: given, as what needs no Redis does without ioredis. */
  command: typeof Command
  /** Milliseconds that one command may take. */
  timeout: number
  counts: Pick<CacheCounts, 'errors'>
  log: Log
  /** What has to be done before Redis is used again; an error says that it is not there yet. */
  recover?: () => Promise<void>
  /** Told when it is no longer used, and when it is again. */
  onAway?: () => void
  onBack?: () => void
}

/**
 * What commands are for. `read` and `store` are done without for a while where Redis, which answers otherwise, is too slow for them;
 * `recover` is what is asked while it is not used.
 */
export type Purpose = 'read' | 'store' | 'change' | 'recover'

type Argument = string | number | Buffer

/** What Redis does in one step. It is sent by its hash, as a whole where Redis does not know it yet. */
export interface Script {
  readonly sha: string
  readonly source: string
}

export function script(source: string): Script {
  return { sha: createHash('sha1').update(source).digest('hex'), source }
}

/** What Redis has not answered yet. */
interface Waiting extends Timed {
  readonly isSettled: boolean
  reject(reason: Error): void
}

/** How slow Redis was for one purpose. Times are those of `steady`. */
interface Slowness {
  late: number
  /** Of the last one that came too late. */
  at: number
  /** Until when it is not tried. */
  until: number
  /** For how long, the next time. */
  pause: number
  isTold: boolean
}

class LateError extends Error {}
/** What Redis has not been asked. */
export class NotSentError extends Error {}

/** Milliseconds between two looks at a Redis that does not answer. */
const PROBE = 100
/** Milliseconds for which one that has gone may be back at once. */
const BLIP = 1000
/** So many too late within that time, and it is slow. */
const SLOW = { count: 3, within: 60_000 }
/** Milliseconds for which a slow one is done without: twice as long each time. */
const PAUSE = { first: 5000, most: 60_000 }

/**
 * A Redis that neither fails nor waits. After the first command that did not come through none is tried, until
 * Redis answers a PING.
 */
export class RedisConnection {
  readonly #options: ConnectionOptions
  readonly #waiting: DeadlineQueue<Waiting>
  readonly #createCommand: (name: string, args: readonly Argument[]) => Command & Waiting
  readonly #onClose = () => this.#lose(new Error('the connection was closed'))
  readonly #slow = new Map<Purpose, Slowness>()
  /** What is sent together when this turn of the event loop ends. */
  #gathered: Waiting[] = []
  /** Since when Redis is away, as `steady` tells; undefined while it is there. */
  #awaySince: number | undefined
  #closed = false
  #refused = false

  constructor(options: ConnectionOptions) {
    this.#options = options
    const { client, command, timeout } = options
    const expire = (late: Waiting) => late.reject(new LateError(`no answer within ${timeout} ms`))
    this.#waiting = new DeadlineQueue(timeout, expire)
    this.#createCommand = createCommands(command)
    // The next one may lead to another Redis, or to one that has been started anew.
    client.on('close', this.#onClose)
  }

  /** Whether Redis is not to be reached at the moment. */
  get isAway(): boolean {
    return this.#awaySince !== undefined
  }

  /** Whether it has only just gone and may be back at once, as one that forks: who waits anyway may ask again. */
  get hasJustGone(): boolean {
    return this.#awaySince !== undefined && steady.now() - this.#awaySince < BLIP
  }

  /** The answer to a command, texts as buffers. */
  async try(
    purpose: Purpose,
    name: string,
    ...args: readonly Argument[]
  ): Promise<unknown | typeof UNAVAILABLE> {
    return await this.send(purpose, name, ...args).catch(() => UNAVAILABLE)
  }

  /** The answer of a script. */
  async tryRun(
    purpose: Purpose,
    script: Script,
    keys: readonly string[],
    args: readonly Argument[],
  ): Promise<unknown | typeof UNAVAILABLE> {
    return await this.run(purpose, script, keys, args).catch(() => UNAVAILABLE)
  }

  /** @throws where Redis is away, refuses, or does not answer in time */
  async run(
    purpose: Purpose,
    { sha, source }: Script,
    keys: readonly string[],
    args: readonly Argument[],
  ): Promise<unknown> {
    this.#assertUsable(purpose)
    try {
      return await this.#send(purpose, 'evalsha', [sha, keys.length, ...keys, ...args])
    } catch (error) {
      if (!(error as Error).message.startsWith('NOSCRIPT')) throw this.#fail(purpose, error)
    }
    return await this.send(purpose, 'eval', source, keys.length, ...keys, ...args)
  }

  /** @throws where Redis is away, refuses, or does not answer in time */
  async send(purpose: Purpose, name: string, ...args: readonly Argument[]): Promise<unknown> {
    this.#assertUsable(purpose)
    try {
      return await this.#send(purpose, name, args)
    } catch (error) {
      throw this.#fail(purpose, error)
    }
  }

  /** To be called when Redis has taken what it once refused. */
  accept(): void {
    if (!this.#refused) return
    this.#refused = false
    this.#options.log.info({}, `Redis does what the ${this.#options.owner} asks for again`)
  }

  close(): void {
    this.#closed = true
    this.#options.client.off('close', this.#onClose)
  }

  /** @throws where it is known that it would come to nothing */
  #assertUsable(purpose: Purpose): void {
    if (purpose !== 'recover' && this.isAway) throw new NotSentError('it does not answer')
    if (this.#closed) throw new NotSentError('the cache is closed')
    if (steady.now() < (this.#slow.get(purpose)?.until ?? 0))
      throw new NotSentError('it is too slow')
  }

  async #send(purpose: Purpose, name: string, args: readonly Argument[]): Promise<unknown> {
    const slowness = this.#slow.get(purpose)
    const command = this.#createCommand(name, args)
    this.#gather(command)
    try {
      const answer = await this.#options.client.sendCommand(command)
      if (slowness) this.#quicken(purpose, slowness)
      return answer
    } finally {
      this.#waiting.remove(command)
    }
  }

  /**
   * Lets what is sent in one turn of the event loop leave with one write, which costs more than all the rest of a command.
   * The time for `waiting` begins then.
   *
   * @throws where there is no connection
   */
  #gather(waiting: Waiting): void {
    const { status, stream } = this.#options.client
    // A client of an app may queue what it cannot send.
    if (status !== 'ready' && status !== 'wait') throw new NotSentError('there is no connection')
    if (this.#gathered.push(waiting) > 1) return
    stream?.cork()
    setImmediate(() => {
      stream?.uncork()
      for (const one of this.#gathered) if (!one.isSettled) this.#waiting.add(one)
      this.#gathered = []
    })
  }

  #fail(purpose: Purpose, cause: unknown): Error {
    const error = cause as Error
    if (purpose === 'recover') return error
    this.#options.counts.errors++
    if (this.#closed) return error
    if (error.name === 'ReplyError') this.#refuse(error)
    else this.#lose(error, purpose)
    return error
  }

  // It answers, so it is there: full, loading or read-only. Reading goes on.
  #refuse(error: Error): void {
    if (this.#refused) return
    this.#refused = true
    const message = `Redis refuses what the ${this.#options.owner} asks for`
    this.#options.log.warn({ problem: error.message }, message)
  }

  #lose(reason: Error, purpose?: Purpose): void {
    if (!this.isAway && !this.#closed) void this.#probe(reason, purpose)
  }

  async #probe(reason: Error, purpose: Purpose | undefined): Promise<void> {
    this.#awaySince = steady.now()
    const { log, owner } = this.#options
    this.#options.onAway?.()
    let told = false
    while (!this.#closed && !(await this.#answers())) {
      // Once it does not answer again: this process itself may have been what was slow.
      if (!told) log.warn({ problem: reason.message }, `The ${owner} goes on without Redis`)
      told = true
      await delay(PROBE, undefined, { ref: false })
    }
    if (this.#closed) return
    this.#awaySince = undefined
    if (told) log.info({}, `The ${owner} uses Redis again`)
    else if (purpose && reason instanceof LateError) this.#slacken(purpose)
    this.#options.onBack?.()
  }

  async #answers(): Promise<boolean> {
    try {
      await this.#send('recover', 'ping', [])
      await this.#options.recover?.()
      return true
    } catch {
      return false
    }
  }

  /** It answers, and was too late for this: large values take long on a slow line. */
  #slacken(purpose: Purpose): void {
    if (purpose !== 'read' && purpose !== 'store') return
    const now = steady.now()
    const known = this.#slow.get(purpose)
    const slowness =
      known && now - known.at < SLOW.within
        ? known
        : { late: 0, at: now, until: 0, pause: PAUSE.first, isTold: false }
    this.#slow.set(purpose, slowness)
    slowness.late++
    slowness.at = now
    if (slowness.late < SLOW.count) return
    slowness.until = now + slowness.pause
    slowness.pause = Math.min(2 * slowness.pause, PAUSE.most)
    if (slowness.isTold) return
    slowness.isTold = true
    const { log, owner, timeout } = this.#options
    const message = `Redis is too slow for what the ${owner} ${purpose}s: most of it goes on without`
    log.warn({ timeout, late: slowness.late }, message)
  }

  #quicken(purpose: Purpose, { at, isTold }: Slowness): void {
    if (steady.now() - at < 2 * SLOW.within) return
    this.#slow.delete(purpose)
    const { log, owner } = this.#options
    if (isTold) log.info({}, `Redis is fast enough again for what the ${owner} ${purpose}s`)
  }
}

/**
 * Makes commands that answer bytes, and whose time is counted here: ioredis would make a timer for each, which comes before an
 * answer that has waited for this process.
 */
function createCommands(
  base: typeof Command,
): (name: string, args: readonly Argument[]) => Command & Waiting {
  class Timely extends base implements Waiting {
    at = 0
    earlier: Timed | undefined
    later: Timed | undefined
    override setTimeout(): void {}
  }
  return (name, args) => new Timely(name, args as Argument[], { replyEncoding: null })
}

/** What is no longer as it was: entries by tag or key, or all whose key begins with the name. */
export type Change = readonly [kind: 'tag' | 'key' | 'prefix', ...names: string[]]

/** How a change is told that Redis itself refuses: each process remembers it then. */
const UNTOLD = 'untold'

export interface BusOptions {
  client: Redis
  channel: string
  /** Milliseconds in which Redis has to answer. */
  timeout: number
  /** Told what other processes have changed; `untold`: Redis does not know it yet. */
  onChange: (change: Change, untold: boolean) => void
  /** Told when every change is heard from now on; those before may have been missed. */
  onHears: () => void
  /** Told when changes have not been heard for a while. */
  onLost: () => void
}

const HEARTBEAT = 1000

/** Tells the caches of other processes what has changed here, and hears of it from them. */
export class RedisBus {
  readonly #options: BusOptions
  readonly #origin = randomUUID()
  #client: Redis | undefined
  #started: Promise<void> | undefined
  #heartbeat: NodeJS.Timeout | undefined
  #hears = false

  constructor(options: BusOptions) {
    this.#options = options
  }

  /** Whether it hears every change. */
  get hears(): boolean {
    return this.#hears
  }

  message(change: Change, untold = false): string {
    return JSON.stringify([this.#origin, ...(untold ? [UNTOLD] : []), ...change])
  }

  /** Connects with the first call, which waits until changes are heard, though not for long. */
  start(): Promise<void> {
    this.#started ??= this.#connect()
    return this.#started
  }

  close(): void {
    clearInterval(this.#heartbeat)
    this.#hears = false
    this.#client?.disconnect()
    this.#client?.stream?.destroy()
    this.#started = Promise.resolve()
  }

  #connect(): Promise<void> {
    const { client, channel, timeout } = this.#options
    const { promise, resolve } = Promise.withResolvers<void>()
    const connection = client.duplicate({
      connectionName: channel,
      autoResubscribe: false,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      // The channel's name is complete.
      keyPrefix: '',
      lazyConnect: true,
      socketTimeout: 2 * HEARTBEAT,
    })
    this.#client = connection
    // Who owns `client` tells of outages.
    connection.on('error', () => {})
    connection.on('message', (_channel, message) => this.#receive(message))
    connection.on('ready', () => this.#subscribe(connection).then(resolve))
    connection.on('close', () => this.#lose())
    // Where it cannot be made there is nothing to wait for.
    connection.connect().catch(() => resolve())
    this.#heartbeat = setInterval(() => this.#beat(connection), HEARTBEAT).unref()
    return Promise.race([promise, delay(timeout, undefined, { ref: false })])
  }

  async #subscribe(connection: Redis): Promise<void> {
    try {
      await connection.subscribe(this.#options.channel)
      // Where the first answer is late it has been asked again.
      if (this.#hears) return
      this.#hears = true
      this.#options.onHears()
    } catch {
      // A Redis that does not allow it: level 1 is not used.
    }
  }

  // A connection that has died in silence is noticed only by sending on it.
  #beat(connection: Redis): void {
    if (connection.status !== 'ready') return
    if (this.#hears) connection.ping().catch(() => {})
    else void this.#subscribe(connection)
  }

  #lose(): void {
    if (!this.#hears) return
    this.#hears = false
    setTimeout(() => {
      if (!this.#hears) this.#options.onLost()
    }, HEARTBEAT).unref()
  }

  #receive(message: string): void {
    const { origin, change, untold } = parse(message)
    if (origin !== this.#origin) this.#options.onChange(change, untold)
  }
}

/** What is no message, or that of a newer release, may mean anything: that everything has changed. */
function parse(message: string): { origin: string; change: Change; untold: boolean } {
  try {
    const [origin, ...rest] = JSON.parse(message)
    const untold = rest[0] === UNTOLD
    const change = untold ? rest.slice(1) : rest
    if (['tag', 'key', 'prefix'].includes(change[0])) return { origin, change, untold }
  } catch {}
  return { origin: '', change: ['prefix', ''], untold: false }
}

/** What Redis has not been told: without it, old entries would be served again. */
export class Untold {
  #tags = new Set<string>()
  #keys = new Set<string>()
  #prefixes = new Set<string>()

  add([kind, ...names]: Change): void {
    const set = { tag: this.#tags, key: this.#keys, prefix: this.#prefixes }[kind]
    for (const name of names) set.add(name)
    // More than is worth remembering: everything may be old.
    if (this.size > 10_000) this.#reset(new Set(['']))
  }

  /** Everything, which is forgotten here. */
  take(): Change[] {
    const changes: Change[] = [
      ...Array.from(this.#prefixes, (prefix) => ['prefix', prefix] as const),
      ['tag', ...this.#tags],
      ['key', ...this.#keys],
    ]
    this.#reset(new Set())
    return changes.filter(([, ...names]) => names.length > 0)
  }

  get size(): number {
    return this.#tags.size + this.#keys.size + this.#prefixes.size
  }

  #reset(prefixes: Set<string>): void {
    this.#tags = new Set()
    this.#keys = new Set()
    this.#prefixes = prefixes
  }
}
