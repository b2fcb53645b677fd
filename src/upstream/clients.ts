/** @ts-ignore: there where it is installed */
import type { Dispatcher } from 'undici'
import { UpstreamClient, type UpstreamClientOptions } from './client.ts'

/** The clients of an app: each is made when it is first asked for, and all are closed with the app. */
export class UpstreamClients {
  readonly #clients: UpstreamClient[] = []
  readonly #log: { warn(data: object, message: string): void }
  readonly #closing = new AbortController()

  /** What requests are sent by in place of connections of their own: of tests. Not for clients that are open already. */
  dispatcher: Dispatcher | undefined

  /** @param log told when an upstream is not asked for a while, and when it is again */
  constructor(log: { warn(data: object, message: string): void }) {
    this.#log = log
  }

  /** Aborted when they are closed: what would come again and again ends. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  create(options: Omit<UpstreamClientOptions, 'onBreaker' | 'dispatcher'>): UpstreamClient {
    const { name: api } = options
    const onBreaker = (isOpen: boolean) =>
      this.#log.warn(
        { api },
        isOpen
          ? 'an upstream fails too often: it is not asked for a while'
          : 'an upstream works again',
      )
    const client = new UpstreamClient({ ...options, onBreaker, dispatcher: () => this.dispatcher })
    this.#clients.push(client)
    return client
  }

  /** Loads what they need, for the first calls not to wait for that. */
  async open(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.open()))
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.all(this.#clients.map((client) => client.close()))
  }
}
