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
