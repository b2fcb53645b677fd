import type { Test } from 'tap'

/** What ends a process, and is only noted until `t` ends. */
export function noteUnheard(t: Test, event: 'uncaughtException' | 'unhandledRejection'): unknown[] {
  const noted: unknown[] = []
  const note = (reason: unknown) => noted.push(reason)
  process.on(event, note)
  t.teardown(() => process.off(event, note))
  return noted
}
