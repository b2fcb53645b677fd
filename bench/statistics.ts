/** A ratio with the bounds of its 95 % interval. */
export interface Ratio {
  ratio: number
  low: number
  high: number
}

/**
 * The typical ratio of pairs that were measured in groups: all pairs of a group come from one start of the
 * processes, which makes them alike. Each group counts as one sample, its median; the interval is Student's t
 * over the samples' logarithms. With a single group its pairs are the samples.
 */
export function typicalRatio(groups: readonly (readonly number[])[]): Ratio {
  const samples = (groups.length > 1 ? groups.map(median) : (groups[0] ?? [])).map(Math.log)
  const mean = samples.reduce((sum, one) => sum + one, 0) / samples.length
  const squares = samples.reduce((sum, one) => sum + (one - mean) ** 2, 0)
  const error = Math.sqrt(squares / (samples.length - 1) / samples.length)
  const half = studentT(samples.length - 1) * error
  return { ratio: Math.exp(mean), low: Math.exp(mean - half), high: Math.exp(mean + half) }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)] ?? Number.NaN
  return Number.isInteger(middle) ? (upper + (sorted[middle - 1] ?? Number.NaN)) / 2 : upper
}

/**
 * What a ratio says beside that of a control, which compares a thing with itself.
 *
 * @returns in words: how much more or less, or that the control differs as much
 */
export function verdict({ ratio, low, high }: Ratio, control?: Ratio): string {
  const noise = control ? Math.max(...[control.low, control.high].map(distance)) : 0
  if (distance(ratio) <= noise || (low <= 1 && high >= 1)) return 'no difference measurable'
  const percent = Math.abs(ratio - 1) * 100
  return `${percent.toFixed(1)} % ${ratio < 1 ? 'less' : 'more'}`
}

function distance(ratio: number): number {
  return Math.abs(Math.log(ratio))
}

// The 97.5 % quantiles for 1, 2, 3, … degrees of freedom.
const QUANTILES = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145,
  2.131, 2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048,
  2.045, 2.042,
]

function studentT(degrees: number): number {
  return QUANTILES[degrees - 1] ?? (degrees < 1 ? Number.NaN : 1.96 + 2.5 / degrees)
}
