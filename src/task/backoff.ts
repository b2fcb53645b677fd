import type { InMilliseconds } from '../duration.ts'
import { TaskAgain } from './errors.ts'
import type { Backoff } from './types.ts'

/** The share of a backoff that is random, so that tasks that failed together are not tried again together. */
const JITTER = 0.5
/** The longest that one is where it does not say how long, in ms. */
const MAX = 3_600_000

/** How long to wait before a task is tried again, in ms; `failures` is how often it has failed, from 1. */
export function backoffOf(
  { type, delay, max }: InMilliseconds<Backoff>,
  failures: number,
  error?: unknown,
): number {
  if (error instanceof TaskAgain && error.delay !== undefined) return error.delay
  const full = type === 'fixed' ? delay : delay * 2 ** (failures - 1)
  const capped = Math.min(full, max ?? Math.max(MAX, delay))
  return Math.floor(capped * (1 - JITTER * Math.random()))
}
