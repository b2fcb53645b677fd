import { availableParallelism } from 'node:os'
import { isDeepStrictEqual } from 'node:util'

export interface BulkOptions {
  /** How many calls run at once, at least 1; default: the CPUs this process may use. */
  concurrency?: number
  /** A failed slot is `null`; if every call failed, the first failure is thrown all the same. Default false. */
  ignoreErrors?: boolean
  /** Return the outcome of each call instead of throwing; default false. */
  settled?: boolean
  /** Call once for requests that are deeply equal; default false. */
  dedupe?: boolean
  /** Calls that have not begun when it aborts fail with its reason. */
  signal?: AbortSignal
}

/** The outcome of one call of a bulk. */
export type BulkSettled<T> = PromiseSettledResult<T>

/**
 * Calls `call` for each request. Every call ends before this does, whatever happens to the others.
 *
 * @throws {TypeError} when `requests` is not a list, {RangeError} when `concurrency` is below 1
 */
export async function bulk<T>(
  call: (request: unknown) => Promise<T>,
  requests: readonly unknown[],
  options: BulkOptions = {},
): Promise<(T | null)[] | BulkSettled<T>[]> {
  if (!Array.isArray(requests)) {
    throw new TypeError(`bulk takes a list of requests, got ${typeof requests}`)
  }
  const outcomes = await settleAll(options.dedupe ? once(call) : call, requests, options)
  if (options.settled) return outcomes
  const failures = outcomes.filter((outcome) => outcome.status === 'rejected')
  const [first] = failures
  if (first && (!options.ignoreErrors || failures.length === outcomes.length)) throw first.reason
  return outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : null))
}

async function settleAll<T>(
  call: (request: unknown) => Promise<T>,
  requests: readonly unknown[],
  { concurrency = availableParallelism(), signal }: BulkOptions,
): Promise<BulkSettled<T>[]> {
  if (!(concurrency >= 1)) {
    throw new RangeError(`concurrency must be at least 1, got ${concurrency}`)
  }
  const outcomes = new Array<BulkSettled<T>>(requests.length)
  // One iterator shared by all lanes: each takes the next request when it is free.
  const queue = requests.entries()
  const lane = async () => {
    for (const [index, request] of queue) outcomes[index] = await settle(call, request, signal)
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, requests.length) }, lane))
  return outcomes
}

async function settle<T>(
  call: (request: unknown) => Promise<T>,
  request: unknown,
  signal: AbortSignal | undefined,
): Promise<BulkSettled<T>> {
  try {
    signal?.throwIfAborted()
    return { status: 'fulfilled', value: await call(request) }
  } catch (reason) {
    return { status: 'rejected', reason }
  }
}

/** `call` that answers equal requests with one promise. */
function once<T>(call: (request: unknown) => Promise<T>): (request: unknown) => Promise<T> {
  const byKey = new Map<string, { request: unknown; result: Promise<T> }[]>()
  return (request) => {
    // The JSON text only narrows the search: what is equal is decided by the values themselves.
    const key = JSON.stringify(request, sortProperties) ?? ''
    const known = byKey.get(key) ?? []
    const found = known.find((entry) => isDeepStrictEqual(entry.request, request))
    if (found) return found.result
    const result = call(request)
    byKey.set(key, [...known, { request, result }])
    return result
  }
}

function sortProperties(_: string, value: unknown): unknown {
  const plain = typeof value === 'object' && value !== null && !Array.isArray(value)
  return plain ? Object.fromEntries(Object.entries(value).sort(byName)) : value
}

function byName([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1
}
