/** How far something is that takes a while. */
export interface Progress {
  name: string
  /** How many rows, or what `unit` says, are done. */
  rows: number
  /** How many there are, where it is known. */
  total: number | undefined
  /** Rows per second. */
  rate: number
  /** Default `rows`. */
  unit?: string
}

/** What a bar needs of a stream. */
export type Terminal = Pick<NodeJS.WriteStream, 'isTTY' | 'columns'> & {
  write(text: string): unknown
}

// Milliseconds between two pictures: more often, nobody can read it.
const INTERVAL = 100
const WIDTH = 24
const CLEAR = '\r\x1b[K'

/** Draws progress on one line of a terminal, which the next picture replaces; nothing elsewhere. */
export class ProgressBar {
  readonly #stream: Terminal
  readonly #now: () => number
  #next = 0

  constructor(stream: Terminal = process.stderr, now = () => performance.now()) {
    this.#stream = stream
    this.#now = now
  }

  draw(progress: Progress): void {
    const now = this.#now()
    if (!this.#stream.isTTY || now < this.#next) return
    this.#next = now + INTERVAL
    // A line that does not fit would wrap, and only its last part be replaced.
    this.#stream.write(CLEAR + picture(progress).slice(0, this.#stream.columns || 80))
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#stream.isTTY) this.#stream.write(CLEAR)
    this.#next = 0
  }
}

function picture({ name, rows, total, rate, unit = 'rows' }: Progress): string {
  const speed = `${formatNumber(rate)} ${unit}/s`
  if (!total) return `${name} ${formatNumber(rows)} ${unit} ${speed}`
  const part = Math.min(1, rows / total)
  const bar = '█'.repeat(Math.floor(part * WIDTH)).padEnd(WIDTH, '░')
  const counts = `${formatNumber(rows)}/${formatNumber(total)}`
  return `${name} ${bar} ${String(Math.floor(part * 100)).padStart(3)}% ${counts} ${speed}`
}

/** Whole, with commas: 135,233. */
export function formatNumber(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}
