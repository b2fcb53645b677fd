import type { Test } from 'tap'

/** Lets so many milliseconds pass of what `clocks` tell, until the test ends; by default of `performance.now` alone. */
export function passTime(
  t: Test,
  clocks: readonly { now(): number }[] = [performance],
): (ms: number) => void {
  let passed = 0
  for (const clock of clocks) {
    const now = clock.now.bind(clock)
    t.intercept(clock, 'now', { value: () => now() + passed })
  }
  return (ms) => {
    passed += ms
  }
}
