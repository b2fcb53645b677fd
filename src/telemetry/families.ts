/** One line of a metric. */
export interface Sample {
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
  /** Where it is not that of the metric: `…_bucket`, `…_sum` and `…_count` of a histogram. */
  readonly metricName?: string
}

/** A metric and what it is now, as `getMetricsAsJSON` of prom-client has it. */
export interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary'
  /** What those of several processes come to together; default `sum`. */
  readonly aggregator?: keyof typeof JOIN | 'omit'
  readonly values: readonly Sample[]
}

/** How many of what was seen are in each bucket, for one set of labels. */
export class Series {
  readonly labels: Sample['labels']
  readonly #bounds: readonly number[]
  readonly #counts: number[]
  #sum = 0

  constructor(labels: Sample['labels'], bounds: readonly number[]) {
    this.labels = labels
    this.#bounds = bounds
    this.#counts = new Array(bounds.length + 1).fill(0)
  }

  observe(value: number): void {
    const bounds = this.#bounds
    let at = 0
    while (at < bounds.length && value > (bounds[at] as number)) at++
    ;(this.#counts[at] as number)++
    this.#sum += value
  }

  *samples(name: string): Generator<Sample> {
    let count = 0
    for (const [at, more] of this.#counts.entries()) {
      count += more
      const le = this.#bounds[at] ?? '+Inf'
      yield { labels: { le, ...this.labels }, value: count, metricName: `${name}_bucket` }
    }
    yield { labels: this.labels, value: this.#sum, metricName: `${name}_sum` }
    yield { labels: this.labels, value: count, metricName: `${name}_count` }
  }
}

/**
 * A histogram of which whoever observes keeps the series: prom-client finds that by its labels with each observation, which
 * costs a microsecond.
 */
export class Histogram {
  readonly #about: Pick<Family, 'name' | 'help'>
  readonly #bounds: readonly number[]
  readonly #series: Series[] = []

  /** @param bounds upper ones of its buckets, ascending */
  constructor(name: string, help: string, bounds: readonly number[]) {
    this.#about = { name, help }
    this.#bounds = bounds
  }

  /** Once for each set of labels. */
  add(labels: Sample['labels']): Series {
    const series = new Series(labels, this.#bounds)
    this.#series.push(series)
    return series
  }

  read(): Family {
    const { name } = this.#about
    const values = this.#series.flatMap((series) => [...series.samples(name)])
    return { ...this.#about, type: 'histogram', values }
  }
}

export function gauge(
  name: string,
  help: string,
  value: number,
  aggregator: Family['aggregator'] = 'sum',
): Family {
  return { name, help, type: 'gauge', aggregator, values: [{ labels: {}, value }] }
}

/** Whether it only grows: what a process that has ended has counted still counts. */
export function isTotal({ type }: Family): boolean {
  return type !== 'gauge'
}

/** Of a value that `count` processes come to, and that of one more, the one that all come to. */
const JOIN = {
  sum: (one: number, other: number) => one + other,
  max: Math.max,
  min: Math.min,
  first: (one: number) => one,
  average: (one: number, other: number, count: number) => (one * count + other) / (count + 1),
} as const

/** What several processes have, as if they were one. */
export function mergeFamilies(all: readonly (readonly Family[])[]): Family[] {
  const merged = new Map<string, { family: Family; lines: Map<string, Line> }>()
  for (const family of all.flat()) {
    if (family.aggregator === 'omit') continue
    const known = merged.get(family.name) ?? { family, lines: new Map() }
    merged.set(family.name, known)
    // Of one name they are one metric, whatever a newer release says of it.
    const join = JOIN[(known.family.aggregator ?? 'sum') as keyof typeof JOIN]
    for (const sample of family.values) {
      const key = keyOf(sample)
      const line = known.lines.get(key)
      if (!line) known.lines.set(key, { ...sample, count: 1 })
      else line.value = join(line.value, sample.value, line.count++)
    }
  }
  return Array.from(merged.values(), ({ family, lines }) => {
    const values = Array.from(lines.values(), ({ count: _, ...sample }) => sample)
    return { ...family, values }
  })
}

type Line = { -readonly [Key in keyof Sample]: Sample[Key] } & { count: number }

function keyOf({ labels, metricName }: Sample): string {
  const sorted = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([metricName, sorted])
}

/** As Prometheus reads it; of two metrics of one name the first counts. */
export async function writeText(families: readonly Family[]): Promise<string> {
  const { Registry } = await import('prom-client')
  const registry = new Registry()
  const names = new Set<string>()
  for (const family of families) {
    if (names.has(family.name)) continue
    names.add(family.name)
    // All that it asks of a metric.
    registry.registerMetric({ name: family.name, get: async () => family } as never)
  }
  return await registry.metrics()
}

/** Keeps `value` in `map`, where there was nothing. */
export function put<Key, Value>(map: Map<Key, Value>, key: Key, value: Value): Value {
  map.set(key, value)
  return value
}

/** What its text is. */
export const TEXT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** Milliseconds for which what was found counts for whoever asks next: who asks often costs no more. */
export const FRESH = 100

/** `work` that is done once for all who ask for it in a time. */
export function shared<T>(work: () => Promise<T>): () => Promise<T> {
  let current: Promise<T> | undefined
  return () => {
    if (current) return current
    const begun = work()
    current = begun
    const forget = () => {
      current = undefined
    }
    begun.then(() => setTimeout(forget, FRESH).unref(), forget)
    return begun
  }
}
