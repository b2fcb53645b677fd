/** How long one entry is kept. Times are seconds. */
export interface EntryOptions {
  /** How long it is fresh, above 0. The time that is kept is up to a tenth shorter, so that entries do not end together. */
  ttl: number
  /** How long after that it may still be served while it is loaded again, or when that fails; default 0. */
  stale?: number
  /** What it depends on: `invalidate` takes everything with one of these away. */
  tags?: readonly string[]
  /** Whether it is compressed when it is long; default true. */
  compress?: boolean
}

/** What a text of the cache is; `undefined` values are never stored. */
export interface Entry {
  /** JSON. */
  readonly text: string
  /** Until when it is fresh, as `steady` tells. */
  readonly fresh: number
  /** Until when it may be served at all. */
  readonly until: number
}

/** What computes a value that is not there: its signal aborts when its time is over. */
export type Load<T> = (signal: AbortSignal) => Promise<T>

/** How long a value is waited for. */
export interface LoadTimes {
  /**
   * Seconds that loading may take, at most a day: then it has failed, and whoever asks next loads again; 0: no end.
   * Default 60.
   */
  loadTimeout?: number
  /** Who waits gives up when it aborts; the others wait on. */
  signal?: AbortSignal
}

/** How a value is found: at once without it, with it only where nothing is stored. */
export interface LoadOptions extends EntryOptions, LoadTimes {
  /** Whether what was loaded is stored; default: whatever is not `undefined`. */
  when?: (text: string) => boolean
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
  /** What Redis holds; null: there is none, or it does not answer. */
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
  /** Seconds after which the lock of a process that has died is free; a living one renews it. */
  ttl: number
  /** Seconds to wait for another holder; default 0. */
  wait?: number
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
   * @throws {PlinthError} DEADLINE_EXCEEDED where it takes longer than `loadTimeout`; the reason of `signal`
   */
  getOrSet<T>(
    key: string,
    load: (signal: AbortSignal) => Promise<T> | T,
    options: EntryOptions & LoadTimes,
  ): Promise<T>
  /** The value under `key`, fresh ones only; `undefined`: there is none. */
  get<T>(key: string): Promise<T | undefined>
  /** `undefined` deletes. @throws {TypeError} where `value` is no JSON */
  set(key: string, value: unknown, options: EntryOptions): Promise<void>
  delete(...keys: string[]): Promise<void>
  /** Takes away every entry that has one of these tags, and keeps those from being stored that are being loaded. */
  invalidate(...tags: string[]): Promise<void>
  /**
   * Takes away every entry whose key begins with `prefix`, all without one; how many Redis, else this process, had. Within
   * a transaction that is not known yet: 0.
   */
  clear(prefix?: string): Promise<number>
  /** @throws {PlinthError} LOCK_HELD where another holder keeps it longer than `wait`, CACHE_UNAVAILABLE */
  lock(name: string, options: LockOptions): Promise<Lock>

  /** The JSON text under `key` where level 1 has a fresh one: at once. Within a transaction there is none. */
  peek(key: string): string | undefined
  /** As `getOrSet`, with texts: `load` gives JSON, `undefined` is not stored. */
  text(
    key: string,
    load: Load<string | undefined>,
    options: LoadOptions,
  ): Promise<string | undefined>
  /**
   * Loads anew and stores, whatever there is, each call by itself; loads that began earlier are not stored then.
   *
   * @throws what `load` throws, and leaves what there is
   */
  refresh(
    key: string,
    load: Load<string | undefined>,
    options: LoadOptions,
  ): Promise<string | undefined>

  /** Whether there are changes that Redis has not been told, as it is away: it is as soon as it is back, if the process lives. */
  readonly isBehind: boolean
  /** Whether anything is kept: with no level 1 and no Redis one can as well do without it. */
  readonly keeps: boolean
  /** Of this process. */
  readonly counts: Readonly<CacheCounts>
  /** For operators: it goes through everything that is stored. */
  stats(): Promise<CacheStats>
  /** Gives connections and timers back; afterwards everything is done without Redis. */
  close(): Promise<void>
}
