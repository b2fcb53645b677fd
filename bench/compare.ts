import type { Slice } from './load.ts'
import { routes } from './routes.ts'
import { median, type Ratio, typicalRatio } from './statistics.ts'
import type { MemorySample, Sample, Samples, Side } from './throughput.ts'

/** Two sides compared by one measure. */
export interface Comparison {
  route: string
  /** Requests per second, typically. */
  against: number
  plinth: number
  ratio: Ratio
}

interface Comparisons {
  plain: Comparison[]
  /** A second process of the plain application in the place of Plinth. */
  control: Comparison[]
  raw: Comparison[]
}

interface MemoryComparison {
  when: 'booted' | 'loaded'
  /** MB. */
  plain: number
  plinth: number
  ratio: Ratio
  control: Ratio
}

export interface Throughput {
  /** How often the servers were started. */
  boots: number
  /** `rate` by the clock, `rateOfCpu` by the server's time on a CPU, which neighbours disturb less. */
  by: Record<keyof Slice, Comparisons>
  memory: MemoryComparison[]
}

/** What the samples say of Plinth and of the control, each beside the plain application. */
export function compareSamples({ load, memory }: Samples): Throughput {
  return {
    boots: new Set(load.map(({ boot }) => boot)).size,
    by: { rate: compareRoutes(load, 'rate'), rateOfCpu: compareRoutes(load, 'rateOfCpu') },
    memory: [compareMemory(memory, 'booted'), compareMemory(memory, 'loaded')],
  }
}

function compareRoutes(samples: readonly Sample[], measure: keyof Slice): Comparisons {
  const all = [...new Set(samples.map(({ route }) => route))]
  const readers = all.filter((route) => routes.get(route)?.readsCities)
  const compare = (route: string, sides: [Side, Side]) => {
    const own = samples.filter((sample) => sample.route === route)
    return { route, ...compareSides(own, measure, sides) }
  }
  return {
    plain: all.map((route) => compare(route, ['plinth', 'plain'])),
    control: all.map((route) => compare(route, ['control', 'plain'])),
    raw: readers.map((route) => compare(route, ['plinth', 'raw'])),
  }
}

function compareSides(
  samples: readonly Sample[],
  measure: keyof Slice,
  [ours, theirs]: [Side, Side],
): Omit<Comparison, 'route'> {
  const of = (side: Side, from = samples) =>
    from.filter((sample) => sample.side === side).map((sample) => sample[measure])
  const boots = Object.values(Object.groupBy(samples, ({ boot }) => boot))
  const pairs = boots.map((boot) => ratios(of(ours, boot), of(theirs, boot)))
  return { against: median(of(theirs)), plinth: median(of(ours)), ratio: typicalRatio(pairs) }
}

function compareMemory(
  samples: readonly MemorySample[],
  when: MemoryComparison['when'],
): MemoryComparison {
  const of = (wanted: Side) =>
    samples.filter(({ side }) => side === wanted).map((sample) => sample[when])
  const [plain, plinth] = [of('plain'), of('plinth')]
  return {
    when,
    plain: median(plain),
    plinth: median(plinth),
    ratio: typicalRatio([ratios(plinth, plain)]),
    control: typicalRatio([ratios(of('control'), plain)]),
  }
}

function ratios(ours: readonly number[], theirs: readonly number[]): number[] {
  return ours.map((value, i) => value / (theirs[i] ?? Number.NaN))
}
