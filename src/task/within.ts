import { whenLate } from '../deadlines.ts'

/** What `within` throws. */
export class TooLate extends Error {}

/** Fails with a {@link TooLate} when `promise` has not settled after `ms`; what it comes to then is of no interest. */
export async function within<T>(ms: number, promise: Promise<T>, problem: string): Promise<T> {
  const late = Promise.withResolvers<never>()
  const inTime = whenLate(Math.max(ms, 0), () => late.reject(new TooLate(problem)))
  promise.catch(() => {})
  return await Promise.race([promise, late.promise]).finally(inTime)
}

/** Whether `promise` settles, however, within `ms`. */
export async function settles(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const settled = promise.then(
    () => true,
    () => true,
  )
  return await within(ms, settled, '').catch(() => false)
}
