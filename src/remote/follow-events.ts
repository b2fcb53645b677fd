import { setTimeout as delay } from 'node:timers/promises'
import { follow } from '../abort.ts'
import { errors } from '../errors.ts'
import type { ServerEvent } from '../resource/stream.ts'
import { UpstreamError } from '../upstream/upstream-error.ts'
import { leavable } from './read-events.ts'

/** Milliseconds from the loss of a connection to the first try to come again, where no event has said another `retry`; each try doubles them. */
const PAUSE = 1000
const LONGEST_PAUSE = 30_000

interface Following {
  /** The id of the event before the first. */
  last: string | undefined
  /** Comes again behind that event; undefined: it must not be asked twice. */
  again: ((lastEventId: string | undefined) => Promise<AsyncIterable<ServerEvent>>) | undefined
  /** The first that aborts ends it, without an error. */
  signals: readonly AbortSignal[]
}

/** The events of another service, however often the connection to it is lost, until there are no more. @throws what it says, and why it cannot be asked */
export function followEvents(
  first: AsyncIterable<ServerEvent>,
  following: Following,
): AsyncGenerator<ServerEvent, void> {
  return leavable(goOn(first, following), () => first[Symbol.asyncIterator]().return?.())
}

async function* goOn(
  first: AsyncIterable<ServerEvent>,
  { last: before, again, signals }: Following,
): AsyncGenerator<ServerEvent, void> {
  const end = new AbortController()
  const leave = follow(end, signals)
  let events: AsyncIterable<ServerEvent> | undefined = first
  let last = before
  let pause = PAUSE
  let wait = PAUSE
  try {
    for (;;) {
      try {
        events ??= await again?.(last)
        for await (const event of events ?? []) {
          last = event.id ?? last
          pause = event.retry ?? pause
          wait = pause
          yield event
        }
        return
      } catch (error) {
        if (end.signal.aborted) return
        if (!again || !isLost(error)) throw error
      }
      events = undefined
      // Not all that have lost the same service at once.
      const some = wait * (0.5 + Math.random() / 2)
      await delay(some, undefined, { signal: end.signal }).catch(() => {})
      if (end.signal.aborted) return
      wait = Math.min(Math.max(2 * wait, 100), LONGEST_PAUSE)
    }
  } finally {
    leave()
  }
}

/** Whether it may be there again. */
function isLost(error: unknown): boolean {
  const codes = [errors.UPSTREAM_UNAVAILABLE.code, errors.UPSTREAM_TIMEOUT.code]
  return UpstreamError.is(error) && codes.includes(error.code)
}
