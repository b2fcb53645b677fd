import type { BareRatio } from './bare.ts'
import type { CachedRatio } from './cached.ts'
import type { Comparison, Throughput } from './compare.ts'
import type { PageTime } from './pages.ts'
import type { Timed } from './startup.ts'
import { type Ratio, verdict } from './statistics.ts'
import type { TestRun } from './testing.ts'

export interface Results {
  throughput?: Throughput
  bare?: BareRatio[]
  tokens?: BareRatio[]
  telemetry?: BareRatio[]
  cached?: CachedRatio[]
  startup?: Timed[]
  help?: Timed[]
  migrations?: Timed[]
  altering?: Timed[]
  pages?: PageTime[]
  tasks?: CachedRatio[]
  upstream?: CachedRatio[]
  remote?: CachedRatio[]
  testing?: TestRun[]
}

/** The results as Markdown tables. */
export function report({
  throughput,
  bare,
  tokens,
  telemetry,
  cached,
  startup,
  help,
  migrations,
  altering,
  pages,
  tasks,
  upstream,
  remote,
  testing,
}: Results): string {
  const parts = [
    ...(throughput ? reportThroughput(throughput) : []),
    ...(bare ? ['Microseconds of CPU for a request, beside bare Fastify', bareTable(bare)] : []),
    ...(tokens
      ? [
          'Microseconds of CPU for a request with a token or permissions, beside the same by hand',
          bareTable(tokens),
        ]
      : []),
    ...(telemetry
      ? [
          'Microseconds of CPU for a request to Atlas without and with telemetry',
          bareTable(telemetry),
        ]
      : []),
    ...(cached ? ['Cached results', cachedTable(cached)] : []),
    ...(startup ? ['Start-up until the first answer', timedTable(startup)] : []),
    ...(help ? ['Commands', timedTable(help)] : []),
    ...(migrations ? ['200 small migrations', timedTable(migrations)] : []),
    ...(altering ? ['Six columns of a table that change', timedTable(altering)] : []),
    ...(pages ? ['Pages of a table of 1,000 rows and of a long one', pagesTable(pages)] : []),
    ...(tasks ? ['Empty tasks, enqueued and run, in a second', cachedTable(tasks)] : []),
    ...(upstream ? ['Calls of another system', cachedTable(upstream)] : []),
    ...(remote ? ['Calls of another process, both ends', cachedTable(remote)] : []),
    ...(testing ? ['Tests of a service', testingTable(testing)] : []),
  ]
  return parts.join('\n\n')
}

function reportThroughput({ boots, by, memory }: Throughput): string[] {
  return [
    `Requests per second (${boots} starts of each server)`,
    comparisonTable(by.rate),
    "Requests per second of the server's time on a CPU",
    comparisonTable(by.rateOfCpu),
    'Against prepared statements without Kysely, per second of CPU (for information)',
    table(
      ['route', 'raw', 'plinth', 'ratio', '95 %'],
      by.rateOfCpu.raw.map((one) => [...rates(one), ...cells(one.ratio)]),
    ),
    'Memory',
    table(
      ['when', 'MB plain', 'MB plinth', 'ratio', '95 %', 'control', '95 %', 'verdict'],
      memory.map((one) => [
        one.when === 'booted' ? 'after the start' : 'after the load',
        one.plain.toFixed(1),
        one.plinth.toFixed(1),
        ...compared(one.ratio, one.control),
      ]),
    ),
  ]
}

function testingTable(runs: readonly TestRun[]): string {
  return table(
    ['', 'seconds'],
    runs.map(({ name, time }) => [name, time.toFixed(2)]),
  )
}

function bareTable(routes: readonly BareRatio[]): string {
  return table(
    ['route', 'bare', 'plinth', 'ratio', '95 %', 'control', '95 %', 'verdict'],
    routes.map(({ route, bare, plinth, ratio, control }) => [
      route,
      bare.toFixed(1),
      plinth.toFixed(1),
      ...compared(ratio, control),
    ]),
  )
}

function pagesTable(pages: readonly PageTime[]): string {
  return table(
    ['', 'rows', 'ms of 1,000 rows', 'ms', 'ratio'],
    pages.map(({ database, page, rows, small, large }) => [
      `${database}: ${page}`,
      String(rows),
      small.toFixed(2),
      large.toFixed(2),
      (large / small).toFixed(2),
    ]),
  )
}

function cachedTable(cached: readonly CachedRatio[]): string {
  return table(
    ['', 'first/s', 'second/s', 'ratio', '95 %', 'by CPU', '95 %'],
    cached.map(({ name, rates: [first, second], ratio, ratioOfCpu }) => [
      name,
      first.toFixed(0),
      second.toFixed(0),
      ...cells(ratio),
      ...cells(ratioOfCpu),
    ]),
  )
}

function comparisonTable({ plain, control }: Throughput['by']['rate']): string {
  return table(
    ['route', 'plain', 'plinth', 'ratio', '95 %', 'control', '95 %', 'verdict'],
    plain.map((one, i) => [
      ...rates(one),
      ...compared(one.ratio, (control[i] as Comparison).ratio),
    ]),
  )
}

function rates({ route, against, plinth }: Comparison): string[] {
  return [route, against.toFixed(0), plinth.toFixed(0)]
}

function timedTable(timed: readonly Timed[]): string {
  return table(
    ['', 'ms', 'ratio', '95 %', 'ms of CPU', 'ratio', '95 %'],
    timed.map(({ name, time, ratio, cpu, ratioOfCpu }) => [
      name,
      time.toFixed(1),
      ...cells(ratio),
      cpu?.toFixed(1) ?? '',
      ...(ratioOfCpu ? cells(ratioOfCpu) : ['', '']),
    ]),
  )
}

function compared(ratio: Ratio, control: Ratio): string[] {
  return [...cells(ratio), ...cells(control), verdict(ratio, control)]
}

function cells({ ratio, low, high }: Ratio): string[] {
  return [ratio.toFixed(3), `${low.toFixed(3)}–${high.toFixed(3)}`]
}

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [titles, ...rows]
  const widths = titles.map((_, i) => Math.max(...all.map((row) => (row[i] ?? '').length)))
  const line = (row: readonly string[]) =>
    `| ${widths.map((width, i) => (i === 0 ? (row[i] ?? '').padEnd(width) : (row[i] ?? '').padStart(width))).join(' | ')} |`
  const rule = `|${widths.map((width, i) => (i === 0 ? `:${'-'.repeat(width + 1)}` : `${'-'.repeat(width + 1)}:`)).join('|')}|`
  return [line(titles), rule, ...rows.map(line)].join('\n')
}
