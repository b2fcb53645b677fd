/** A load under way, which all who ask for its key wait for. */
export interface Flight<T> {
  readonly key: string
  readonly tags: readonly string[]
  /** Whether what it brings may be stored: not once the entry has been invalidated or loaded anew. */
  current: boolean
  /** There as soon as it has begun. */
  result: Promise<T>
}

/** The loads of this process, one for each key. */
export class Flights<T> {
  readonly #flights = new Map<string, Flight<T>>()

  get(key: string): Flight<T> | undefined {
    return this.#flights.get(key)
  }

  /** Begins a load; one of the same key that is under way is not stored any more. */
  begin(
    key: string,
    tags: readonly string[] = [],
    run: (flight: Flight<T>) => Promise<T>,
  ): Flight<T> {
    this.end((other) => other.key === key)
    const flight = { key, tags, current: true } as Flight<T>
    this.#flights.set(key, flight)
    flight.result = run(flight)
    return flight
  }

  /** To be called when `run` has ended, whatever it came to. */
  finish(flight: Flight<T>): void {
    if (this.#flights.get(flight.key) === flight) this.#flights.delete(flight.key)
  }

  /** Those that `is` true for go on for who waits already; who comes now begins another. */
  end(is: (flight: Flight<T>) => boolean): void {
    if (this.#flights.size === 0) return
    for (const flight of this.#flights.values()) {
      if (!is(flight)) continue
      flight.current = false
      this.#flights.delete(flight.key)
    }
  }
}
