import { randomInt, randomUUID } from 'node:crypto'

// What the last one had: later ones of this process sort after it, even if the clock is set back.
let time = 0
let counter = 0

/**
 * A new UUID of version 7 (RFC 9562, 5.7): it begins with the time, so that new rows lie side by side in an
 * index, and those of one process sort in the order in which they were made (6.2, method 1).
 */
export function uuidv7(now = Date.now()): string {
  step(now)
  const milliseconds = time.toString(16).padStart(12, '0')
  const count = counter.toString(16).padStart(3, '0')
  // From here on a UUID of version 4 is the same: the variant, then random bits.
  const random = randomUUID().slice(18)
  return `${milliseconds.slice(0, 8)}-${milliseconds.slice(8)}-7${count}${random}`
}

/** The counter has 12 bits and starts in its lower half; when it is used up, the time goes on by itself. */
function step(now: number): void {
  if (now > time || counter === 0xfff) {
    time = Math.max(now, time + 1)
    counter = randomInt(0x800)
  } else {
    counter++
  }
}
