/** By how many milliseconds the clocks of a zone are ahead of UTC at an instant. */
export type Offset = (time: number) => number

/** @throws {RangeError} where there is no such zone */
export function offsetOf(timezone: string): Offset {
  // Intl takes megabytes: it is not loaded for what needs none.
  if (/^(etc\/)?utc$/i.test(timezone)) return () => 0
  const format = new Intl.DateTimeFormat('en', { timeZone: timezone, timeZoneName: 'longOffset' })
  return (time) => {
    // `1/31/2026, GMT+05:30`
    const [, sign, hours, minutes, seconds = 0] =
      /GMT([+-])(\d+):(\d+)(?::(\d+))?/.exec(format.format(time)) ?? []
    const size = (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1000
    return sign === undefined ? 0 : sign === '-' ? -size : size
  }
}

/** The instant after `from`, and not after `to`, from which the clocks show another offset than at `from`. */
export function transitionIn(offset: Offset, from: number, to: number): number | undefined {
  const before = offset(from)
  if (offset(to) === before) return undefined
  let [earlier, later] = [from, to]
  while (later - earlier > 1) {
    const middle = Math.floor((earlier + later) / 2)
    if (offset(middle) === before) earlier = middle
    else later = middle
  }
  return later
}
