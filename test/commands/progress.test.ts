import t from 'tap'
import { ProgressBar } from '../../commands/_progress.ts'
import { SeedReport } from '../../commands/_seed-report.ts'

function terminal({ isTTY = true, columns = 100 } = {}) {
  const written: string[] = []
  return { isTTY, columns, written, write: (text: string) => written.push(text) }
}

const half = { name: '02_cities', rows: 67_616, total: 135_233, rate: 61_234.5 }

t.test('draws a bar, at most ten times a second', async (t) => {
  const stream = terminal()
  let now = 1000
  const bar = new ProgressBar(stream, () => now)
  bar.draw(half)
  now += 99
  bar.draw({ ...half, rows: 67_617 })
  now += 1
  bar.draw({ ...half, rows: 135_233 })
  bar.clear()
  t.strictSame(stream.written, [
    '\r\x1b[K02_cities ███████████░░░░░░░░░░░░░  49% 67,616/135,233 61,235 rows/s',
    '\r\x1b[K02_cities ████████████████████████ 100% 135,233/135,233 61,235 rows/s',
    '\r\x1b[K',
  ])
})

t.test('draws no bar where the total is not known', async (t) => {
  const stream = terminal()
  new ProgressBar(stream).draw({ ...half, total: undefined })
  t.strictSame(stream.written, ['\r\x1b[K02_cities 67,616 rows 61,235 rows/s'])
})

t.test('keeps to one line of the terminal', async (t) => {
  const stream = terminal({ columns: 20 })
  new ProgressBar(stream).draw(half)
  t.strictSame(stream.written, ['\r\x1b[K02_cities ██████████'])
})

t.test('draws nothing where there is no terminal', async (t) => {
  const stream = terminal({ isTTY: false })
  const bar = new ProgressBar(stream)
  bar.draw(half)
  bar.clear()
  t.strictSame(stream.written, [])
})

t.test('reports seeds: the bar while they run, then a line', async (t) => {
  const stream = terminal()
  const lines: string[] = []
  let now = 0
  const report = new SeedReport(
    (line) => lines.push(line),
    stream,
    () => now,
  )
  const name = '02_cities'
  report.take({ type: 'start', name, summary: 'Cities', total: 4000, done: 1000 })
  now = 500
  report.take({ type: 'progress', name, rows: 2000 })
  now = 2000
  const counts = { rows: 4000, added: 2990, duration_ms: 2000 }
  report.take({ type: 'done', name, skipped: false, ...counts })
  report.take({ type: 'done', name, skipped: true, rows: 4000, added: 0, duration_ms: 1 })
  t.strictSame(stream.written.slice(0, 2), [
    '\r\x1b[K02_cities ████████████░░░░░░░░░░░░  50% 2,000/4,000 2,000 rows/s',
    '\r\x1b[K',
  ])
  t.strictSame(lines, [
    '02_cities: 4,000 rows, 2,990 of them new, in 2 s (1,500 rows/s)',
    '02_cities: 4,000 rows, finished before',
  ])
})
