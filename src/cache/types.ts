import type { Duration } from '../duration.ts'

/** How long one entry is kept, and what it depends on. */
export interface EntryOptions {
  /**
   * How long it is fresh, above 0 and a year at most: `'1m'`, or milliseconds. The time that is kept is up to a tenth shorter, so that
   * entries do not end together.
   */
  ttl: Duration
  /** How long after that it may still be served while it is loaded again, or when that fails; default 0. */
  stale?: Duration
  /** What it depends on: `invalidate` takes everything with one of these away. */
  tags?: readonly string[]
  /** Whether it is compressed when it is long; default true. */
  compress?: boolean
}

/** The same where it may follow from the value. */
export interface ValueOptions<T> extends Omit<EntryOptions, 'ttl' | 'tags'> {
  ttl: Duration | ((value: T) => Duration)
  tags?: readonly string[] | ((value: T) => readonly string[])
}

/** What a text of the cache is; `undefined` values are never stored. Its times are milliseconds as `steady` tells. */
export interface Entry {
  /** JSON. */
  readonly text: string
  /** When it was stored, in whichever process. */
  readonly stored: number
  /** Until when it is fresh. */
  readonly fresh: number
  /** Until when it may be served at all. */
  readonly until: number
}

/** What was found or loaded; `text` undefined: there is nothing, and nothing was stored. */
export interface Found extends Partial<Pick<Entry, 'fresh' | 'until'>> {
  readonly text: string | undefined
  readonly stored: number
}

/** What computes a value that is not there: its signal aborts when its time is over. */
export type Load<T> = (signal: AbortSignal) => Promise<T>

/** How long a value is waited for. */
export interface LoadTimes {
  /**
   * How long loading may take, at most a day: then it has failed, and whoever asks next loads again; 0: no end.
   * Default a minute.
   */
  loadTimeout?: Duration
  /** How long this call waits; then it gives up, and the load goes on for the others. Default 0: as long as it takes. */
  timeout?: Duration
  /** How long this call waits for a fresh value where there is a stale one, which is served then. Default 0: at once. */
  softTimeout?: Duration
  /** Who waits gives up when it aborts; the others wait on. */
  signal?: AbortSignal
}

/** How a value is found: at once without it, with it only where nothing is stored. */
export interface LoadOptions extends EntryOptions, LoadTimes {
  /** Whether what was loaded is stored; default: whatever is not `undefined`. */
  when?: (text: string) => boolean
  /** What follows from what was loaded: it comes before what is said here. */
  decide?: (text: string) => Partial<Pick<EntryOptions, 'ttl' | 'tags'>>
}

/** How often what has happened since the process began. */
export interface CacheCounts {
  /** Answered by level 1, in this process. */
  hits_memory: number
  /** Answered by Redis. */
  hits_redis: number
  misses: number
  /** Answered with an entry that was no longer fresh. */
  stale: number
  /** Loads that failed. */
  failures: number
  /** Entries that Redis held and that were none. */
  garbage: number
  /** Calls of Redis that failed or came too late, and were done without. */
  errors: number
}

/** How much is stored: entries, and about how many bytes they take. */
export interface CacheSize {
  entries: number
  bytes: number
}

export interface CacheStats {
  /** Of all processes that share the Redis, as each adds its own every few seconds; without Redis of this process. */
  counts: CacheCounts
  /** Level 1 of this process. */
  memory: CacheSize
  /** What Redis holds, also what was invalidated and has not ended yet; null: there is none, or it does not answer. */
  redis: CacheSize | null
}

/** A lock that is held. */
export interface Lock extends AsyncDisposable {
  readonly name: string
  /** Greater than that of every earlier holder: what it protects can refuse a holder whose lock has run out. */
  readonly fence: number
  /** Aborted when the lock is lost: it could not be renewed in time. */
  readonly signal: AbortSignal
  /** Gives it back; of no effect when it is lost or given back already. */
  release(): Promise<void>
}

export interface LockOptions {
  /** After which the lock of a process that has died is free; a living one renews it. From 1 ms to a day. */
  ttl: Duration
  /** How long to wait for another holder; default 0. */
  wait?: Duration
  signal?: AbortSignal
}

/** What a cache has to know of the transactions of databases. */
export interface Transactions {
  /** Whether the code under way is in one. */
  active(): boolean
  /** Runs `work` when it has been committed, never when it is rolled back. */
  afterCommit(work: () => Promise<unknown>): void
}

/**
 * What both drivers do: in memory for one process, on Redis for any number of them.
 *
 * Within a transaction others shall see none of it: what is loaded is neither read from the cache nor stored, and what
 * is changed here changes with the commit. The promise of a change is fulfilled at once then; the change is made before
 * the transaction's `execute()` returns.
 */
export interface Cache {
  /**
   * The value under `key`; where there is none it is loaded, once for all who ask at that time, in every process.
   *
   * @param load its result has to be JSON; `undefined` is returned and not stored
   * @returns what JSON makes of it, a new copy each time
   * @throws what `load` throws, unless a stale entry can be served; never because of Redis
   * @throws {PlinthError} DEADLINE_EXCEEDED where it takes longer than `loadTimeout`, or `timeout`; the reason of `signal`
   */
  getOrSet<T>(
    key: string,
    load: (signal: AbortSignal) => Promise<T> | T,
    options: ValueOptions<T> & LoadTimes,
  ): Promise<T>
  /** The value under `key`, fresh ones only; `undefined`: there is none. */
  get<T>(key: string): Promise<T | undefined>
  /** `undefined` deletes. @throws {TypeError} where `value` is no JSON */
  set<T>(key: string, value: T, options: ValueOptions<T>): Promise<void>
  delete(...keys: string[]): Promise<void>
  /**
   * Takes away every entry that has one of these tags, and keeps those from being stored that are being loaded. What Redis cannot
   * be told now it is told before anything is read from it again.
   */
  invalidate(...tags: string[]): Promise<void>
  /**
   * Takes away every entry whose key begins with `prefix`, all without one; how many Redis, else this process, had. Within
   * a transaction that is not known yet: 0.
   */
  clear(prefix?: string): Promise<number>
  /** @throws {PlinthError} LOCK_HELD where another holder keeps it longer than `wait`, CACHE_UNAVAILABLE */
  lock(name: string, options: LockOptions): Promise<Lock>
  /** A part of this cache: its keys, tags and locks are none of those outside, and `clear()` takes only its own away. */
  namespace(name: string): Cache

  /** What level 1 has under `key`, where it is fresh: at once. Within a transaction there is none. */
  peek(key: string): Entry | undefined
  /** As `getOrSet`, with texts: `load` gives JSON, `undefined` is not stored. */
  find(key: string, load: Load<string | undefined>, options: LoadOptions): Promise<Found>
  /**
   * Loads anew and stores, whatever there is, each call by itself; loads that began earlier are not stored then.
   *
   * @throws what `load` throws, and leaves what there is
   */
  refresh(key: string, load: Load<string | undefined>, options: LoadOptions): Promise<Found>

  /** Whether there are changes that Redis has not been told: it is as soon as it takes them, if the process lives. */
  readonly isBehind: boolean
  /** Whether all processes have it together: there is a Redis, which may be away. */
  readonly isShared: boolean
  /** Whether anything is kept: with no level 1 and no Redis one can as well do without it. */
  readonly keeps: boolean
  /** Of this process. */
  readonly counts: Readonly<CacheCounts>
  /** For operators: it goes through everything that is stored. */
  stats(): Promise<CacheStats>
  /** Gives connections and timers back; afterwards everything is done without Redis. It waits some seconds for a Redis that has to be told something. */
  close(): Promise<void>
}
