/** Waits for `promise`; fails with the reason of the first of `given` that aborts, and leaves nothing on them. */
export async function unlessAborted<T>(
  promise: Promise<T>,
  ...given: readonly (AbortSignal | undefined)[]
): Promise<T> {
  const signals = given.filter((signal) => signal !== undefined)
  if (signals.length === 0) return await promise
  // Nobody may wait for it.
  promise.catch(() => {})
  for (const signal of signals) signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const abort = (event: Event) => aborted.reject((event.target as AbortSignal).reason)
  for (const signal of signals) signal.addEventListener('abort', abort)
  return await Promise.race([promise, aborted.promise]).finally(() => {
    for (const signal of signals) signal.removeEventListener('abort', abort)
  })
}

/**
 * Does `work` with a signal that aborts with the first of `given` that does. Not by `AbortSignal.any()`, which leaves something behind
 * on signals that live longer than the work (Node.js 22).
 */
export async function withFirst<T>(
  given: readonly (AbortSignal | null | undefined)[],
  work: (first: AbortSignal) => Promise<T>,
): Promise<T> {
  const first = new AbortController()
  const leave = follow(
    first,
    given.filter((signal) => signal instanceof AbortSignal),
  )
  try {
    return await work(first.signal)
  } finally {
    leave()
  }
}

/** Rejects with the reason of `signal` when that aborts. */
export function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
}

/**
 * Lets `controller` abort with the first of `signals` that does, until the function that it returns is called. Unlike
 * what `AbortSignal.any` makes, it leaves nothing behind on signals that live longer.
 */
export function follow(controller: AbortController, signals: readonly AbortSignal[]): () => void {
  const ends = signals.map((signal) => {
    const abort = () => controller.abort(signal.reason)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort)
    return () => signal.removeEventListener('abort', abort)
  })
  return () => {
    for (const end of ends) end()
  }
}
