import type { EventEmitter } from 'node:events'
import { FlowProducer, Queue } from 'bullmq'
import type { TaskConnection } from './connection.ts'
import type { JobData, TaskQueue } from './record.ts'

/** The queues that there are, each opened when it is needed. */
export class Queues {
  readonly #connection: TaskConnection
  readonly #prefix: string
  readonly #onError: (error: unknown) => void
  readonly #open = new Map<string, Promise<TaskQueue | FlowProducer>>()
  // Written down since the connection was made: Redis may have lost it with the one before.
  #announced = new Set<string>()

  constructor(connection: TaskConnection, prefix: string, onError: (error: unknown) => void) {
    this.#connection = connection
    this.#prefix = prefix
    this.#onError = onError
    connection.client.on('close', () => {
      this.#announced = new Set()
    })
  }

  /** Those that have or had a task. */
  async names(): Promise<string[]> {
    return (await this.#connection.client.smembers(this.#key)).sort()
  }

  /** A queue to look something up in; `undefined` where there is none: names come from outside. */
  async find(name: string): Promise<TaskQueue | undefined> {
    if (this.#announced.has(name)) return await this.open(name)
    if (!(await this.#connection.client.sismember(this.#key, name))) return undefined
    this.#announced.add(name)
    return await this.open(name)
  }

  /** A queue to put something into. */
  ensure(name: string): Promise<TaskQueue> {
    return this.#announced.has(name) ? this.open(name) : this.#announce(name)
  }

  async #announce(name: string): Promise<TaskQueue> {
    await this.#connection.client.sadd(this.#key, name)
    this.#announced.add(name)
    return await this.open(name)
  }

  open(name: string): Promise<TaskQueue> {
    return this.#once(name, () => new Queue<JobData>(name, this.#options))
  }

  async flow(): Promise<FlowProducer> {
    return await this.#once('', () => new FlowProducer(this.#options))
  }

  #once<T extends Queue | FlowProducer>(key: string, make: () => T): Promise<T> {
    const open = this.#open.get(key) as Promise<T> | undefined
    if (open) return open
    const made = make()
    ;(made as EventEmitter).on('error', this.#onError)
    const ready = this.#connection.whileOpen(() => made.waitUntilReady()).then(() => made)
    this.#open.set(key, ready)
    // One whose connection was lost while it was made would stay useless.
    ready.catch(() => this.#open.delete(key))
    return ready
  }

  get #key(): string {
    return `${this.#prefix}:queues`
  }

  get #options() {
    return { connection: this.#connection.client, prefix: this.#prefix }
  }
}
