import { setTimeout as delay } from 'node:timers/promises'
import { whenLate } from '../deadlines.ts'
import { errors } from '../errors.ts'
import { steady } from '../steady.ts'
import { type Item, type MemoryLevel, readTimes, toItem } from './entries.ts'
import type { Change } from './redis-connection.ts'
import { Lease, type LeaseMode, type RedisLevel } from './redis-level.ts'
import type { CacheCounts, EntryOptions, Found, Load as LoadOf, LoadOptions } from './types.ts'

type Load = LoadOf<string | undefined>

export interface Answer extends Found {
  readonly from: 'hits_redis' | 'misses' | 'stale'
}

/** A load under way, which all who ask for its key wait for. */
interface Flight<T> {
  readonly key: string
  readonly tags: readonly string[]
  /** Whether its tags may be others when it is there. */
  readonly decides: boolean
  /** Whether what it brings may be stored: not once the entry has been invalidated or loaded anew. */
  current: boolean
  /** What has been invalidated since it began: it may turn out to depend on that. */
  missed: Set<string> | undefined
  /** There as soon as it has begun. */
  result: Promise<T>
}

interface Loading {
  /** What is stored already, where another process was quicker. */
  lease: Lease | Item | undefined
  announce?: boolean
  pause?: number
}

/** Milliseconds between two tries in the background of a load that failed. */
const PAUSE = 2000
/** The same of loads that did not fail. */
const GLANCE = 100

/** What is under way: reads, loads and stores, and which of them may be kept. */
export class Loader {
  readonly #memory: MemoryLevel
  readonly #redis: RedisLevel | undefined
  readonly #counts: CacheCounts
  readonly #flights = new Flights<Answer>()
  /** Loads in the background; one that leaves it to another process has no answer. */
  readonly #reloads = new Flights<Answer | undefined>()
  readonly #pauses = new Map<string, number>()
  /** How many changes there have been: what was read before one is not kept. */
  #changes = 0

  constructor(memory: MemoryLevel, redis: RedisLevel | undefined, counts: CacheCounts) {
    this.#memory = memory
    this.#redis = redis
    this.#counts = counts
  }

  /** What is under way, else what Redis has, else what is loaded. */
  find(key: string, load: Load, options: LoadOptions): Promise<Answer> {
    const flight =
      this.#flights.get(key) ??
      this.#flights.begin(key, options, async (flight) => {
        try {
          const item = await this.read(key, options.tags)
          if (item !== undefined) return toAnswer(item)
          const reloaded = await this.#reloads.get(key)?.result
          if (reloaded !== undefined) return reloaded
          const lease = await this.#acquire(flight, 'wait')
          return await this.#load(flight, load, options, { lease })
        } finally {
          this.#flights.finish(flight)
        }
      })
    return flight.result
  }

  /** Loads in the background, unless that has just failed; `undefined` then. */
  reload(key: string, load: Load, options: LoadOptions): Promise<Answer | undefined> | undefined {
    const known = this.#reloads.get(key)
    if (known) return known.result
    if (steady.now() < (this.#pauses.get(key) ?? 0)) return undefined
    const flight = this.#reloads.begin(key, options, async (flight) => {
      let rest = PAUSE
      try {
        const answer = await this.#loadAside(flight, load, options)
        rest = GLANCE
        return answer
      } finally {
        this.#pause(key, rest)
        this.#reloads.finish(flight)
      }
    })
    // Whoever waits for it is told; what there is is served to the others.
    flight.result.catch(() => {})
    return flight.result
  }

  /** Loads whatever there is; what began earlier is not stored. */
  async refresh(key: string, load: Load, options: LoadOptions): Promise<Answer> {
    this.#reloads.end((other) => other.key === key)
    const flight = this.#flights.begin(key, options, async (flight) => {
      try {
        const lease = await this.#acquire(flight, 'force')
        return await this.#load(flight, load, options, { lease, announce: true })
      } finally {
        this.#flights.finish(flight)
      }
    })
    return await flight.result
  }

  async put(key: string, item: Item, options: Partial<EntryOptions>): Promise<void> {
    this.forget(['key', key])
    const flight = this.#flights.begin(key, options, async (flight) => {
      try {
        await this.#redis?.put(key, item, options.compress)
        this.#changes++
        if (flight.current) this.#keep(key, item)
        return toAnswer(item)
      } finally {
        this.#flights.finish(flight)
      }
    })
    await flight.result
  }

  /** What Redis has, kept in level 1 unless anything was changed meanwhile. */
  async read(key: string, tags?: readonly string[]): Promise<Item | undefined> {
    const before = this.#changes
    const item = await this.#redis?.read(key, tags)
    if (item !== undefined && before === this.#changes) this.#keep(key, item)
    return item
  }

  /** Takes away what level 1 has, and keeps what is under way from being stored. */
  forget([kind, ...names]: Change): number {
    this.#changes++
    const isMeant = ({ key, tags }: { key: string; tags: readonly string[] }) =>
      names.some((name) => {
        if (kind === 'tag') return tags.includes(name)
        return kind === 'key' ? key === name : key.startsWith(name)
      })
    for (const flights of [this.#flights, this.#reloads]) {
      flights.end(isMeant)
      if (kind === 'tag') flights.miss(names)
    }
    if (kind === 'tag') this.#memory.invalidate(names)
    else if (kind === 'key') this.#memory.delete(names)
    else return this.#memory.clear(names[0] as string)
    return 0
  }

  async #loadAside(
    flight: Flight<unknown>,
    load: Load,
    options: LoadOptions,
  ): Promise<Answer | undefined> {
    const item = await this.read(flight.key, flight.tags)
    if (item !== undefined && steady.now() < item.fresh) return toAnswer(item)
    const lease = await this.#redis?.acquire(flight.key, flight.tags, 'background')
    if (lease === 'held') return undefined
    return await this.#load(flight, load, options, { lease, pause: PAUSE })
  }

  /** Waits as long as another process loads. */
  async #acquire(
    { key, tags }: Flight<unknown>,
    mode: LeaseMode,
  ): Promise<Lease | Item | undefined> {
    for (let wait = 5; ; wait = Math.min(2 * wait, 50)) {
      const got = await this.#redis?.acquire(key, tags, mode)
      if (got !== 'held') return got
      await delay(wait)
    }
  }

  /** Without a lease it is stored in level 1 alone. */
  async #load(
    flight: Flight<unknown>,
    load: Load,
    options: LoadOptions,
    { lease, announce, pause }: Loading,
  ): Promise<Answer> {
    if (lease !== undefined && !(lease instanceof Lease)) {
      if (isCurrent(flight, lease)) this.#keep(flight.key, lease)
      return toAnswer(lease)
    }
    try {
      const text = await bounded(load, readTimes(options).load)
      if (text === undefined || options.when?.(text) === false) {
        await lease?.release()
        return { text, stored: steady.now(), from: 'misses' }
      }
      const all = { ...options, ...options.decide?.(text) }
      const item = toItem(text, all)
      const isStored = isCurrent(flight, item)
        ? await lease?.store(item, all.compress, announce)
        : await lease?.release()
      if (isStored !== false && isCurrent(flight, item)) this.#keep(flight.key, item)
      return { ...toAnswer(item), from: 'misses' }
    } catch (error) {
      this.#counts.failures++
      await lease?.release(pause)
      throw error
    }
  }

  #pause(key: string, milliseconds: number): void {
    if (this.#pauses.size > 1000) this.#pauses.clear()
    this.#pauses.set(key, steady.now() + milliseconds)
  }

  #keep(key: string, item: Item): void {
    if (this.#redis?.trusted ?? true) this.#memory.set(key, item)
  }
}

function isCurrent({ current, missed }: Flight<unknown>, { tags }: Item): boolean {
  return current && !(missed && tags.some((tag) => missed.has(tag)))
}

/** The loads of this process, one for each key. */
class Flights<T> {
  readonly #flights = new Map<string, Flight<T>>()

  /** One that still is what is asked for: not where it may turn out to depend on what has been invalidated since it began. */
  get(key: string): Flight<T> | undefined {
    const flight = this.#flights.get(key)
    return flight?.decides && flight.missed ? undefined : flight
  }

  /** Begins a load; one of the same key that is under way is not stored any more. */
  begin(
    key: string,
    { tags = [], decide }: Partial<Pick<LoadOptions, 'tags' | 'decide'>>,
    run: (flight: Flight<T>) => Promise<T>,
  ): Flight<T> {
    this.end((other) => other.key === key)
    const decides = decide !== undefined
    const flight = { key, tags, decides, current: true, missed: undefined } as Flight<T>
    this.#flights.set(key, flight)
    flight.result = run(flight)
    return flight
  }

  /** To be called when `run` has ended, whatever it came to. */
  finish(flight: Flight<T>): void {
    if (this.#flights.get(flight.key) === flight) this.#flights.delete(flight.key)
  }

  /** Those that `is` true for go on for who waits already; who comes now begins another. */
  end(is: (flight: Flight<T>) => boolean): void {
    if (this.#flights.size === 0) return
    for (const flight of this.#flights.values()) {
      if (!is(flight)) continue
      flight.current = false
      this.#flights.delete(flight.key)
    }
  }

  /** The rest is not stored where it turns out to have one of these tags. */
  miss(tags: readonly string[]): void {
    for (const flight of this.#flights.values()) {
      flight.missed ??= new Set()
      for (const tag of tags) flight.missed.add(tag)
    }
  }
}

/**
 * Loads in the time that there is for it.
 *
 * @param timeout milliseconds; 0: no end
 * @throws {PlinthError} DEADLINE_EXCEEDED
 */
export async function bounded(load: Load, timeout: number): Promise<string | undefined> {
  const end = new AbortController()
  if (timeout === 0) return await load(end.signal)
  const late = Promise.withResolvers<never>()
  const inTime = whenLate(timeout, () => {
    const error = errors.DEADLINE_EXCEEDED(timeout)
    end.abort(error)
    late.reject(error)
  })
  try {
    return await Promise.race([load(end.signal), late.promise])
  } finally {
    inTime()
  }
}

function toAnswer({ text, stored, fresh, until }: Item): Answer {
  return { text, stored, fresh, until, from: steady.now() < fresh ? 'hits_redis' : 'stale' }
}
