import type { EnqueueOptions } from './types.ts'

/** The share of a backoff that is random, so that tasks that failed together are not tried again together. */
export const JITTER = 0.5

/** How long to wait before a task is tried again, in ms; `failures` is how often it has failed, from 1. */
export function backoffOf(
  { type, delay }: NonNullable<EnqueueOptions['backoff']>,
  failures: number,
): number {
  const full = type === 'fixed' ? delay : delay * 2 ** (failures - 1)
  return Math.floor(full * (1 - JITTER * Math.random()))
}
