import t from 'tap'
import { type Family, Histogram, mergeFamilies, writeText } from '../../src/telemetry/families.ts'
import { readMetrics } from '../helpers/metrics.ts'

const family = (name: string, aggregator: Family['aggregator'], value: number): Family => ({
  name,
  help: name,
  type: 'gauge',
  ...(aggregator && { aggregator }),
  values: [{ labels: {}, value }],
})

t.test('what several processes have is one', async (t) => {
  const of = (value: number) => [
    family('total', undefined, value),
    family('most', 'max', value),
    family('least', 'min', value),
    family('mean', 'average', value),
    family('one', 'first', value),
    family('none', 'omit', value),
  ]
  const merged = mergeFamilies([of(6), of(2), of(1)])
  t.strictSame(
    merged.map(({ name, values }) => [name, values.map(({ value }) => value)]),
    [
      ['total', [9]],
      ['most', [6]],
      ['least', [1]],
      ['mean', [3]],
      ['one', [6]],
    ],
  )
})

t.test('lines are the same whatever the order of their labels', async (t) => {
  const of = (labels: Record<string, string>, value: number): Family[] => [
    { name: 'seen', help: '', type: 'counter', values: [{ labels, value }] },
  ]
  const [merged] = mergeFamilies([
    of({ a: '1', b: '2' }, 1),
    of({ b: '2', a: '1' }, 2),
    of({ a: '1' }, 4),
  ])
  t.strictSame(merged?.values, [
    { labels: { a: '1', b: '2' }, value: 3 },
    { labels: { a: '1' }, value: 4 },
  ])
})

t.test(
  'a histogram counts in buckets whose bound is in them, and its text is read back',
  async (t) => {
    const histogram = new Histogram('took_seconds', 'How long "it"\ntook', [0.1, 1])
    const series = histogram.add({ path: 'a "b"\\c\nd' })
    for (const value of [0.05, 0.1, 0.5, 30]) series.observe(value)
    const labels = 'path="a \\"b\\"\\\\c\\nd"'
    t.strictSame(Object.fromEntries(readMetrics(await writeText([histogram.read()]))), {
      [`took_seconds_bucket{le="0.1",${labels}}`]: 2,
      [`took_seconds_bucket{le="1",${labels}}`]: 3,
      [`took_seconds_bucket{le="+Inf",${labels}}`]: 4,
      [`took_seconds_sum{${labels}}`]: 30.65,
      [`took_seconds_count{${labels}}`]: 4,
    })
  },
)

t.test('of two metrics of one name the first is told', async (t) => {
  const told = readMetrics(await writeText([family('a', 'sum', 1), family('a', 'sum', 2)]))
  t.strictSame(Object.fromEntries(told), { a: 1 })
})
