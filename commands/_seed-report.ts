import type { SeedEvent, SeedResult } from '../src/database/seed/seeder.ts'
import { formatNumber, ProgressBar, type Terminal } from './_progress.ts'

/** Tells how seeding goes: a bar on stderr where that is a terminal, and a line for each seed at its end. */
export class SeedReport {
  readonly #print: (line: string) => void
  readonly #bar: ProgressBar
  readonly #now: () => number
  #began = 0
  #done = 0
  #total: number | undefined

  constructor(print: (line: string) => void, stream?: Terminal, now = () => performance.now()) {
    this.#print = print
    this.#bar = new ProgressBar(stream, now)
    this.#now = now
  }

  take(event: SeedEvent): void {
    if (event.type === 'fresh') this.#print(`emptied ${event.tables} tables`)
    else if (event.type === 'start') this.#start(event.done, event.total)
    else if (event.type === 'progress') this.#progress(event.name, event.rows)
    else this.#finish(event)
  }

  /** Takes the bar away. */
  end(): void {
    this.#bar.clear()
  }

  #start(done: number, total: number | undefined): void {
    this.#began = this.#now()
    this.#done = done
    this.#total = total
  }

  #progress(name: string, rows: number): void {
    this.#bar.draw({ name, rows, total: this.#total, rate: this.#rate(rows) })
  }

  #finish({ name, skipped, rows, added, duration_ms }: SeedResult): void {
    const rate = `${formatNumber(this.#rate(rows))} rows/s`
    const written = `${formatNumber(added)} of them new, in ${duration_ms / 1000} s (${rate})`
    this.#bar.clear()
    this.#print(`${name}: ${formatNumber(rows)} rows, ${skipped ? 'finished before' : written}`)
  }

  /** Rows per second in this run. */
  #rate(rows: number): number {
    return ((rows - this.#done) / (this.#now() - this.#began)) * 1000
  }
}
