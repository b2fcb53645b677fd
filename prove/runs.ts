import { closeSync, openSync, readSync } from 'node:fs'

/** What tasks have written down: the number of each and the process, once for every time that it has run to its end. */
export class Runs {
  readonly #file: number
  /** The process that has run a task last. */
  readonly #ran = new Map<string, number>()
  /** The processes whose tasks have run again, once for each. */
  readonly #repeated: number[] = []
  readonly #processes = new Set<number>()
  #rest = ''

  /** @param path a file of lines that others append to */
  constructor(path: string) {
    this.#file = openSync(path, 'a+')
  }

  /** How many tasks have run. */
  get tasks(): number {
    this.#read()
    return this.#ran.size
  }

  /** How many tasks ran again that one of these processes had run; default: any. */
  repeated(processes?: ReadonlySet<number>): number {
    this.#read()
    return this.#repeated.filter((pid) => processes?.has(pid) ?? true).length
  }

  /** How often tasks have run. */
  get times(): number {
    this.#read()
    return this.#ran.size + this.#repeated.length
  }

  /** Those that have run one. */
  get processes(): ReadonlySet<number> {
    this.#read()
    return this.#processes
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
      for (const line of lines) this.#add(line)
    }
  }

  #add(line: string): void {
    const [task = '', pid] = line.split(' ')
    const before = this.#ran.get(task)
    if (before !== undefined) this.#repeated.push(before)
    this.#ran.set(task, Number(pid))
    this.#processes.add(Number(pid))
  }
}
