import { reachesAll } from '#child'

// npm passes a Ctrl-C on that the terminal has sent to this process as well: a moment later, it is the same one.
const SAME = 500

/** Whether each Ctrl-C comes to this process twice: it is a script of npm on a terminal. */
function comeTwice(): boolean {
  return Boolean(process.env.npm_lifecycle_event) && reachesAll('SIGINT')
}

/**
 * Calls back at each SIGINT; of two that are one Ctrl-C at the first. Both one process that ends and one that ends others need it.
 *
 * @returns ends that
 */
export function onInterrupt(callback: () => void): () => void {
  let last = Number.NEGATIVE_INFINITY
  const hear = () => {
    const now = performance.now()
    if (comeTwice() && now - last < SAME) return
    last = now
    callback()
  }
  process.on('SIGINT', hear)
  return () => process.off('SIGINT', hear)
}
