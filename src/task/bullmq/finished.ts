import { QueueEvents } from 'bullmq'
import type { Redis } from 'ioredis'
import { settles } from '../within.ts'
import { disconnectForGood, type Model } from './connection.ts'

// Events may be missed: before the stream is read, in an outage, when it is cut.
const POLL = { first: 50, most: 5000 }
// How long the stream of a queue is read on when nobody waits, in ms.
const LINGER = 10_000
// How long it may take to close it, in ms.
const PATIENCE = 1000

interface Stream {
  events: QueueEvents
  connection: Redis
  waiting: number
  idle?: NodeJS.Timeout
}

/** Tells when tasks have ended, by the event streams of their queues. */
export class Endings {
  readonly #streams = new Map<string, Stream>()
  readonly #model: Model
  readonly #prefix: string
  readonly #onError: (error: unknown) => void

  constructor(model: Model, prefix: string, onError: (error: unknown) => void) {
    this.#model = model
    this.#prefix = prefix
    this.#onError = onError
  }

  /**
   * Asks `look` when the task seems to have ended, and now and then, until it answers with something.
   *
   * @throws the reason of one of `signals`, and what `look` throws
   */
  async wait<T>(
    queue: string,
    id: string,
    look: () => Promise<T | undefined>,
    signals: readonly AbortSignal[],
  ): Promise<T> {
    for (const signal of signals) signal.throwIfAborted()
    const stream = this.#open(queue)
    let wake = Promise.withResolvers<void>()
    const onEnd = () => wake.resolve()
    const names = ['completed', 'failed'].map((event) => `${event}:${id}`)
    for (const name of names) stream.events.on(name as 'completed', onEnd)
    for (const signal of signals) signal.addEventListener('abort', onEnd)
    try {
      for (let delay = POLL.first; ; delay = Math.min(delay * 2, POLL.most)) {
        const timer = setTimeout(onEnd, delay)
        await wake.promise
        clearTimeout(timer)
        wake = Promise.withResolvers()
        for (const signal of signals) signal.throwIfAborted()
        const found = await look()
        if (found !== undefined) return found
      }
    } finally {
      for (const name of names) stream.events.off(name as 'completed', onEnd)
      for (const signal of signals) signal.removeEventListener('abort', onEnd)
      this.#leave(queue, stream)
    }
  }

  async close(): Promise<void> {
    this.#model.disconnect()
    const streams = [...this.#streams.values()]
    this.#streams.clear()
    await Promise.allSettled(streams.map((stream) => closeStream(stream)))
  }

  #open(queue: string): Stream {
    const open = this.#streams.get(queue)
    if (open) {
      clearTimeout(open.idle)
      open.waiting++
      return open
    }
    const options = { connection: this.#model, prefix: this.#prefix }
    const { made: events, copy: connection } = this.#model.copyFor(
      () => new QueueEvents(queue, options),
    )
    // One listener for each of those who wait.
    events.setMaxListeners(0)
    events.on('error', this.#onError)
    const stream = { events, connection, waiting: 1 }
    this.#streams.set(queue, stream)
    return stream
  }

  #leave(queue: string, stream: Stream): void {
    if (--stream.waiting > 0) return
    stream.idle = setTimeout(() => {
      this.#streams.delete(queue)
      void closeStream(stream)
    }, LINGER)
    stream.idle.unref()
  }
}

async function closeStream({ events, connection, idle }: Stream): Promise<void> {
  clearTimeout(idle)
  const closed = events.close()
  // BullMQ would wait for it to stand first.
  disconnectForGood(connection)
  await settles(closed, PATIENCE)
}
