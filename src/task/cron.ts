import { CronDate, CronPattern } from 'croner'
import { type Offset, offsetOf, transitionIn } from './zone.ts'

/** The ticks of a cron expression, in milliseconds since 1970. */
export interface Ticks {
  /** The first one after `after`. @throws {Error} where there is none */
  next(after: number): number
  /** The last one after `after` and not after `until`. */
  newest(after: number, until: number): number | undefined
}

// Longer than any zone has set its clocks by; and shorter than there is between two times that it did.
const LONGEST_CHANGE = 25 * 3_600_000
const SHORTEST_PEACE = 7 * 86_400_000

/**
 * The ticks of `cron` by the clocks of `timezone`. Which instants they are does not depend on where one begins to count,
 * so that all processes mean the same. So croner only counts by a clock that nobody sets, and where one is set the rules
 * are our own: a time that does not exist is as much later as the clock was set forward; one that comes twice counts the
 * first time; both do not hold where every hour counts.
 *
 * @throws {Error} where it is not valid
 */
export function ticksOf(cron: string, timezone: string): Ticks {
  // Not croner's Cron: it takes `Jan 1, 2027 00:00:00 GMT` for a date, where five fields are wanted.
  const pattern = new CronPattern(cron)
  const counting: Counting = {
    everyHour: pattern.hour.every((counts) => counts),
    offset: offsetOf(timezone),
    byClock: (from) => firstByClock(pattern, from),
  }
  const next = (after: number) => firstTick(counting, after + 1)
  return { next, newest: (after, until) => newestTick(next, after, until) }
}

/** An offset of 0 minutes from UTC, other than the name of a zone, needs no Intl, which takes megabytes. */
function firstByClock(pattern: CronPattern, from: number): number {
  const first = new CronDate(new Date(from - 1), 0).increment(pattern, {}, false)
  if (!first) throw new Error('there is no such day')
  return first.getTime()
}

interface Counting {
  readonly everyHour: boolean
  readonly offset: Offset
  /** When a clock that is never set shows a time of the expression, from `from` on. */
  byClock(from: number): number
}

function firstTick(counting: Counting, from: number): number {
  for (let start = from; ; ) {
    const tick = tickByOffset(counting, start)
    const change = firstChange(counting.offset, start, tick)
    if (change === undefined) return tick
    start = change
  }
}

/** The first tick from `start` on, as long as the clock is not set again. */
function tickByOffset({ everyHour, offset, byClock }: Counting, start: number): number {
  const now = offset(start)
  const change = everyHour ? undefined : transitionIn(offset, start - LONGEST_CHANGE, start)
  if (change === undefined) return byClock(start + now) - now
  const before = offset(change - 1)
  const forward = now - before
  // Until it shows what it had shown when it was set back, times count again.
  const regular = byClock(Math.max(start, change - forward) + now) - now
  const moved = byClock(start + before) - before
  return moved < change + forward ? Math.min(regular, moved) : regular
}

function firstChange(offset: Offset, after: number, until: number): number | undefined {
  for (let start = after; start < until; start += SHORTEST_PEACE) {
    const change = transitionIn(offset, start, Math.min(until, start + SHORTEST_PEACE))
    if (change !== undefined) return change
  }
  return undefined
}

/** Looks back twice as far each time, so that neither rare nor frequent ticks take long. */
function newestTick(
  next: (after: number) => number,
  after: number,
  until: number,
): number | undefined {
  let newest: number | undefined
  for (let back = 60_000; newest === undefined; back *= 2) {
    const start = Math.max(after, until - back)
    for (let tick = next(start); tick <= until; tick = next(tick)) newest = tick
    if (start === after) break
  }
  return newest
}
