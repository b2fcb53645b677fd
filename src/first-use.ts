/** What is made with its first use, once for all that follow; where that fails the next use tries again. */
export class FirstUse<T> {
  readonly #make: () => Promise<T>
  #made: Promise<T> | undefined

  constructor(make: () => Promise<T>) {
    this.#make = make
  }

  /** @throws what `make` throws */
  get(): Promise<T> {
    this.#made ??= this.#make().catch((error: unknown) => {
      this.#made = undefined
      throw error
    })
    return this.#made
  }

  /** What there is by now, once that is made; `undefined` where nobody has used it, or it has failed. */
  async made(): Promise<T | undefined> {
    return await this.#made?.catch(() => undefined)
  }
}
