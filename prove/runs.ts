import { closeSync, openSync, readSync } from 'node:fs'

/** What tasks have written down: the number of each, once for every time that it has run to its end. */
export class Runs {
  readonly #file: number
  readonly #seen = new Set<string>()
  #total = 0
  #rest = ''

  /** @param path a file of lines that others append to */
  constructor(path: string) {
    this.#file = openSync(path, 'a+')
  }

  /** How many tasks have run. */
  get tasks(): number {
    this.#read()
    return this.#seen.size
  }

  /** How many runs were not the first of their task. */
  get repeated(): number {
    this.#read()
    return this.#total - this.#seen.size
  }

  close(): void {
    closeSync(this.#file)
  }

  #read(): void {
    const buffer = Buffer.alloc(65_536)
    for (let size = 1; size > 0; ) {
      size = readSync(this.#file, buffer)
      const lines = (this.#rest + buffer.toString('latin1', 0, size)).split('\n')
      this.#rest = lines.pop() as string
      this.#total += lines.length
      for (const line of lines) this.#seen.add(line)
    }
  }
}
