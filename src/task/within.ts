/** What `within` throws. */
export class TooLate extends Error {}

/** Fails with a {@link TooLate} when `promise` has not settled after `ms`; what it comes to then is of no interest. */
export async function within<T>(ms: number, promise: Promise<T>, problem: string): Promise<T> {
  const late = Promise.withResolvers<never>()
  // Where it was this process that stood still, what has come meanwhile is read before it is late.
  const end = () => setImmediate(() => late.reject(new TooLate(problem)))
  const timer = setTimeout(end, Math.max(ms, 0))
  promise.catch(() => {})
  return await Promise.race([promise, late.promise]).finally(() => clearTimeout(timer))
}

/** Whether `promise` settles, however, within `ms`. */
export async function settles(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const settled = promise.then(
    () => true,
    () => true,
  )
  return await within(ms, settled, '').catch(() => false)
}
