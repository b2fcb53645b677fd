import { AsyncLocalStorage } from 'node:async_hooks'
import { PlinthError } from '../errors.ts'
import { type Clock, systemClock } from './clock.ts'
import { isUnavailable } from './errors.ts'
import { queueOf } from './id.ts'
import { Outage } from './outage.ts'
import type { TaskLog } from './types.ts'
import { settles } from './within.ts'

/** A message that waits in an outbox. */
export interface WaitingMessage {
  id: string
  /** Text that should be JSON. */
  payload: string
  /** How often it was refused. */
  attempts: number
  /** ISO 8601. */
  created_at: string
}

/** What has become of messages; what is not named stays as it is. */
export interface Outcome {
  delivered: string[]
  /** `final`: it is kept, and not sent again. */
  refused: { id: string; problem: string; final: boolean }[]
}

/** Where messages wait. */
export interface Outbox {
  /**
   * Hands the oldest messages to `send`, at most `limit`, and keeps what has become of them: those that were delivered
   * are gone. Where `send` throws all stay.
   *
   * @param without queues whose messages stay
   * @returns how many were handed to it
   */
  send(
    limit: number,
    send: (messages: readonly WaitingMessage[]) => Promise<Outcome>,
    without?: readonly string[],
  ): Promise<number>
}

/** A message that was read. */
export interface Message {
  payload: unknown
  /** ISO 8601. */
  created_at: string
}

export interface RelayOptions {
  outbox: Outbox
  /**
   * Takes messages to where they belong; to do that twice has to be of no effect.
   *
   * @throws {PlinthError} TASKS_UNAVAILABLE: not now; any other: at least one of them is not to be delivered
   */
  deliver(messages: readonly Message[]): Promise<void>
  /** How often it looks for messages, in ms; a tenth of it is random. Default 1000. */
  interval?: number
  /** How many messages it takes at once; default 100. */
  batch?: number
  log: TaskLog
  clock?: Clock
}

/** What takes messages from an outbox to where they belong, once each, and goes on until it is stopped. */
export interface Relay {
  /** There is a message: it is delivered at once, unless delivering fails at the moment. */
  poke(): void
  /** Waits for what is under way, at most `timeout` ms (default 5000). What is left is for the next process. */
  stop(timeout?: number): Promise<void>
}

/** How often a message is refused, while others get through, before it is given up. */
const MAX_ATTEMPTS = 10
/** How long messages are tried one by one, in ms. */
const PATIENCE = 5000

export function startRelay(options: RelayOptions): Relay {
  const relay = new RunningRelay(options)
  relay.poke()
  return relay
}

class RunningRelay implements Relay {
  readonly #options: RelayOptions
  readonly #interval: number
  readonly #batch: number
  readonly #clock: Clock
  readonly #outage: Outage
  /** Queues that have refused what others took, and until when they are left alone. */
  readonly #resting = new Map<string, { outage: Outage; until: number }>()
  // Whoever pokes it: what it does is no part of that one's request.
  readonly #outside = AsyncLocalStorage.snapshot()
  #running: Promise<void> | undefined
  #again = false
  #stopped = false
  #callOff = () => {}

  constructor(options: RelayOptions) {
    this.#options = options
    this.#interval = options.interval ?? 1000
    this.#batch = options.batch ?? 100
    this.#clock = options.clock ?? systemClock
    this.#outage = new Outage(options.log, 'The messages of the outbox cannot be delivered')
  }

  poke(): void {
    this.#again = true
    if (!this.#outage.isOn) this.#start()
  }

  async stop(timeout = 5000): Promise<void> {
    this.#stopped = true
    this.#callOff()
    if (this.#running) await settles(this.#running, timeout)
  }

  #start(): void {
    if (this.#stopped || this.#running) return
    this.#callOff()
    this.#running = this.#outside(() => this.#run()).then((wait) => {
      this.#running = undefined
      if (!this.#stopped) this.#callOff = this.#clock.after(wait, () => this.#start())
    })
  }

  /** Returns how long it may rest, in ms. */
  async #run(): Promise<number> {
    try {
      do this.#again = false
      while (((await this.#pass()) || this.#again) && !this.#stopped)
      this.#outage.succeeded()
      return this.#interval * (1 - 0.1 * Math.random())
    } catch (error) {
      return this.#outage.failed(error)
    }
  }

  /**
   * Returns whether there may be more to do.
   *
   * @throws what the first queue has refused with, where no other has taken anything
   */
  async #pass(): Promise<boolean> {
    const now = this.#clock.now()
    const resting = [...this.#resting].flatMap(([queue, { until }]) => (until > now ? [queue] : []))
    const refusing = new Map<string, unknown>()
    let delivered = 0
    for (;;) {
      const { size } = refusing
      const without = [...resting, ...refusing.keys()]
      const send = async (messages: readonly WaitingMessage[]) => {
        const outcome = await this.#send(messages, refusing)
        delivered += outcome.delivered.length
        return outcome
      }
      const count = await this.#options.outbox.send(this.#batch, send, without)
      // Behind those of a queue that takes none may be others.
      if (refusing.size > size) continue
      if (refusing.size > 0 && delivered === 0) throw refusing.values().next().value
      for (const [queue, error] of refusing) this.#rest(queue, error)
      return count === this.#batch && delivered > 0
    }
  }

  #rest(queue: string, error: unknown): void {
    const what = `The messages of the outbox for the queue ${queue} cannot be delivered`
    const { outage } = this.#resting.get(queue) ?? {
      outage: new Outage(this.#options.log, what),
    }
    this.#resting.set(queue, { outage, until: this.#clock.now() + outage.failed(error) })
  }

  /** @param refusing is told which queues take none of theirs, and why */
  async #send(
    messages: readonly WaitingMessage[],
    refusing: Map<string, unknown>,
  ): Promise<Outcome> {
    const outcome: Outcome = { delivered: [], refused: [] }
    const readable: (Message & WaitingMessage)[] = []
    for (const message of messages) {
      try {
        readable.push({ ...message, payload: JSON.parse(message.payload) })
      } catch (error) {
        this.#refuse(outcome, message, error, true)
      }
    }
    for (const [queue, some] of Map.groupBy(readable, ({ id }) => queueOf(id) ?? '')) {
      try {
        await this.#deliver(some, outcome)
        this.#resting.get(queue)?.outage.succeeded()
        this.#resting.delete(queue)
      } catch (error) {
        refusing.set(queue, error)
      }
    }
    return outcome
  }

  async #deliver(messages: (Message & WaitingMessage)[], outcome: Outcome): Promise<void> {
    try {
      await this.#options.deliver(messages)
      outcome.delivered.push(...messages.map(({ id }) => id))
    } catch (error) {
      if (isUnavailable(error)) throw error
      await this.#deliverEach(messages, outcome)
    }
  }

  /**
   * Finds those that cannot be delivered. An error that nobody expected is a message's fault only where others of its queue get
   * through; else it is an outage.
   */
  async #deliverEach(messages: (Message & WaitingMessage)[], outcome: Outcome): Promise<void> {
    const end = this.#clock.now() + PATIENCE
    const before = outcome.delivered.length
    const blamed = outcome.refused.length
    let unexpected: unknown
    for (const message of messages) {
      try {
        await this.#options.deliver([message])
        outcome.delivered.push(message.id)
      } catch (error) {
        if (isUnavailable(error) || this.#clock.now() > end) throw error
        const isFinal = PlinthError.is(error)
        if (!isFinal) unexpected ??= error
        this.#refuse(outcome, message, error, isFinal || message.attempts + 1 >= MAX_ATTEMPTS)
      }
    }
    if (!unexpected || outcome.delivered.length > before) return
    // They are not to blame, and are tried as often as it takes.
    outcome.refused.splice(blamed)
    throw unexpected
  }

  #refuse(outcome: Outcome, { id }: WaitingMessage, err: unknown, final: boolean): void {
    outcome.refused.push({ id, problem: (err as Error).message, final })
    if (!final) return
    this.#options.log.error({ err, id }, 'A message of the outbox cannot be delivered, and is kept')
  }
}
