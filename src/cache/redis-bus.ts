import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'

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
