/**
 * The clock by which things live for a time. `Date` is set while a process runs, by hours where a machine had it wrong: what goes by that would end at
 * once, or never. A file of its own, since everything measures by it, and a test sets it as it sets `Date`.
 */
export const steady = {
  /** Milliseconds since some moment before the process began. */
  now: (): number => performance.now(),
}
