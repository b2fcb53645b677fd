import type { Readable } from 'node:stream'
import { whenLate } from '../deadlines.ts'
import { END_OF_EVENTS } from '../http/event-stream.ts'
import type { ServerEvent } from '../resource/stream.ts'

/** An event as it is sent: its data is text. */
export type SentEvent = ServerEvent<string>

interface ReadOptions<T> {
  /** Characters that an event may have. */
  maxBytes: number
  /**
   * Of a service of the kit, which says when there are no more events and is heard of in between: milliseconds after which it is lost.
   * Default: it may be silent, and where its answer ends there are no more.
   */
  silence: number | undefined
  take(event: SentEvent): T
  /** What it ends with where the connection is lost, or an event too long. */
  lost(problem: string): Error
  invalid(problem: string): Error
}

/** The server-sent events that `bytes` are, one by one (HTML, 9.2.6). */
export function readEvents<T>(bytes: Readable, options: ReadOptions<T>): AsyncGenerator<T, void> {
  return leavable(readOn(bytes, options), () => bytes.destroy())
}

/** Lets `end` end `events` that are left before the first is asked for: a generator that has not begun does nothing then. */
export function leavable<T>(
  events: AsyncGenerator<T, void>,
  end: () => unknown,
): AsyncGenerator<T, void> {
  const next = events.next.bind(events)
  const leave = events.return.bind(events)
  let hasBegun = false
  return Object.assign(events, {
    next: () => {
      hasBegun = true
      return next()
    },
    return: async () => {
      const left = leave()
      if (!hasBegun) await end()
      return await left
    },
  })
}

async function* readOn<T>(
  bytes: Readable,
  { maxBytes, silence, take, lost, invalid }: ReadOptions<T>,
): AsyncGenerator<T, void> {
  const decoder = new TextDecoder()
  const parser = new EventParser()
  const chunks = bytes[Symbol.asyncIterator]()
  const giveUp = () => bytes.destroy(lost(`nothing of it has been heard for ${silence} ms`))
  try {
    while (!parser.isOver) {
      // Not while somebody thinks about an event: then nothing is read.
      const inTime = silence === undefined ? undefined : whenLate(silence, giveUp)
      const { done, value } = await chunks.next().finally(inTime)
      if (done && silence === undefined) return
      if (done) throw lost('its events have ended in the middle')
      for (const event of parser.read(decoder.decode(value, { stream: true }))) yield take(event)
      if (parser.size > maxBytes) throw invalid(`an event of it is longer than ${maxBytes} bytes`)
    }
  } finally {
    bytes.destroy()
  }
}

/** What has come of an event that is not whole yet. */
class EventParser {
  /** Whether it was said that there are no more. */
  isOver = false
  #line = ''
  #endsInReturn = false
  #event: Partial<SentEvent> = {}

  get size(): number {
    return this.#line.length + (this.#event.data?.length ?? 0)
  }

  /** The events that are whole with `text`. */
  *read(text: string): Generator<SentEvent> {
    if (text === '') return
    // A line ends in both together, which two chunks may have one each of.
    const isSecondHalf = this.#endsInReturn && text.startsWith('\n')
    this.#endsInReturn = text.endsWith('\r')
    const [first = '', ...others] = (isSecondHalf ? text.slice(1) : text).split(/\r\n?|\n/)
    this.#line += first
    for (const next of others) {
      const event = this.#take(this.#line)
      this.#line = next
      if (event) yield event
    }
  }

  /** @returns the event that an empty line ends, where it tells something */
  #take(line: string): SentEvent | undefined {
    const event = this.#event
    if (line === '') {
      this.#event = {}
      return event.data === undefined ? undefined : (event as SentEvent)
    }
    if (line === END_OF_EVENTS) this.isOver = true
    const at = line.indexOf(':')
    const name = at === -1 ? line : line.slice(0, at)
    const value = at === -1 ? '' : line.slice(line[at + 1] === ' ' ? at + 2 : at + 1)
    if (name === 'data') event.data = event.data === undefined ? value : `${event.data}\n${value}`
    else if (name === 'event') event.event = value
    else if (name === 'id' && !value.includes('\0')) event.id = value
    else if (name === 'retry' && /^\d{1,9}$/.test(value)) event.retry = Number(value)
    return undefined
  }
}
