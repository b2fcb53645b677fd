import type { ScheduleKey, ScheduleState, ScheduleStore } from './schedule.ts'

/**
 * What is known of schedules, within this process and as long as it runs.
 *
 * @param now its clock
 */
export function memorySchedules(now: () => number = Date.now): ScheduleStore {
  const states = new Map<string, Omit<ScheduleState, 'paused'>>()
  /** The version that was opened last, by name. */
  const opened = new Map<string, string>()
  const paused = new Set<string>()

  function stateOf({ name, version }: ScheduleKey, start: number) {
    const key = `${name} ${version}`
    const state = states.get(key) ?? { done: start, last: null }
    states.set(key, state)
    return state
  }

  return {
    async open(key, start) {
      // Read once: what begins now has `done` and `now` alike.
      const time = now()
      const state = stateOf(key, start ?? time)
      const { name, version } = key
      const isOther = (opened.get(name) ?? version) !== version
      if (isOther && start === undefined) state.done = Math.max(state.done, time)
      opened.set(name, version)
      return { ...state, paused: paused.has(name), now: time }
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
      const time = now()
      const state = stateOf(key, time)
      if (paused.delete(key.name)) state.done = Math.max(state.done, time)
    },
  }
}
