/**
 * Tries that went on after their time was over and their signal was aborted. Their places were given to others; what they
 * hold, memory and connections, they hold on.
 */
export class StuckTries {
  #count = 0
  readonly #waiting = new Set<() => void>()

  get count(): number {
    return this.#count
  }

  add(work: Promise<unknown>): void {
    this.#count++
    const left = () => {
      this.#count--
    }
    work.then(left, left)
    for (const look of this.#waiting) look()
  }

  /** Resolves when there are `limit` of them at once. */
  reach(limit: number): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (this.#count < limit) return
        this.#waiting.delete(look)
        resolve()
      }
      this.#waiting.add(look)
      look()
    })
  }
}
