import type { ScheduleKey, ScheduleState, ScheduleStore } from './schedule.ts'

/**
 * What is known of schedules, within this process and as long as it runs.
 *
 * @param now its clock
 */
export function memorySchedules(now: () => number = Date.now): ScheduleStore {
  const states = new Map<string, Omit<ScheduleState, 'paused'>>()
  const paused = new Set<string>()

  function stateOf({ name, version }: ScheduleKey, start = now()) {
    const key = `${name} ${version}`
    const state = states.get(key) ?? { done: start, last: null }
    states.set(key, state)
    return state
  }

  return {
    async open(key, start) {
      return { ...stateOf(key, start), paused: paused.has(key.name), now: now() }
    },
    async advance(key, done, last) {
      const state = stateOf(key, done)
      state.done = Math.max(state.done, done)
      if (last !== undefined) state.last = Math.max(state.last ?? last, last)
    },
    async pause(key, isPaused) {
      if (isPaused) {
        paused.add(key.name)
        return
      }
      const state = stateOf(key)
      if (paused.delete(key.name)) state.done = Math.max(state.done, now())
    },
  }
}
