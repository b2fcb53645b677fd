/**
 * How long the first of a queue has waited, told by two numbers whenever somebody asks: whoever waits is counted, and nothing is
 * kept for each. Those who leave it are the first ones; if others do, it tells less.
 */
export class LongestWait {
  #come = 0
  #seen = { come: 0, at: 0 }

  /** One more waits. */
  add(): void {
    this.#come++
  }

  /**
   * Milliseconds since somebody who still waits was first seen here.
   *
   * @param waiting how many wait now
   */
  measure(waiting: number): number {
    const now = performance.now()
    const areAllServed = this.#come - waiting >= this.#seen.come
    if (areAllServed) this.#seen = { come: this.#come, at: now }
    return now - this.#seen.at
  }
}
