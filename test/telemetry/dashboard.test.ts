import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { parse } from 'yaml'
import { createService } from '../helpers/app.ts'

const folder = new URL('../../docs/telemetry/', import.meta.url)
const read = (name: string) => readFileSync(new URL(name, folder), 'utf8')

interface Dashboard {
  panels: { title: string; targets: { expr: string }[] }[]
}
interface Rules {
  groups: { rules: { alert: string; expr: string; annotations: { summary: string } }[] }[]
}

/** Of PromQL, and labels: all else with an underscore is a metric. */
const WORDS = new Set(['histogram_quantile', '__rate_interval'])

const namesIn = (expr: string) =>
  [...expr.replaceAll(/"[^"]*"/g, '').matchAll(/\b[a-z]\w*_\w+/g)]
    .map(([name]) => name)
    .filter((name) => !WORDS.has(name))

t.test('each metric that the dashboard and the alerts name is there', async (t) => {
  const { app } = await createService(
    t,
    {},
    { variables: { METRICS: 'true', DATABASE_URL: 'sqlite::memory:' } },
  )
  const families = (await app.telemetry?.families()) ?? []
  const known = families.flatMap(({ name, type }) =>
    type === 'histogram' ? ['bucket', 'sum', 'count'].map((part) => `${name}_${part}`) : [name],
  )
  const { panels } = JSON.parse(read('dashboard.json')) as Dashboard
  const { groups } = parse(read('alerts.yaml')) as Rules
  const shown = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
  const watched = groups.flatMap(({ rules }) => rules.map(({ expr }) => expr))
  for (const expr of [...shown, ...watched]) {
    const names = namesIn(expr)
    t.not(names.length, 0, expr)
    t.strictSame(
      names.filter((name) => !known.includes(name)),
      [],
      expr,
    )
  }
  t.equal(new Set(panels.map(({ title }) => title)).size, panels.length)
})

t.test('the alerts are rules of Prometheus, and promtool finds nothing', async (t) => {
  const { PROMTOOL_PATH: promtool = '' } = process.env
  const file = fileURLToPath(new URL('alerts.yaml', folder))
  const { stdout } = await promisify(execFile)(promtool, ['check', 'rules', file])
  t.match(stdout, 'SUCCESS')
  const { app } = await createService(
    t,
    {},
    { variables: { METRICS: 'true', DATABASE_URL: 'sqlite::memory:' } },
  )
  await app.inject('/ping')
  const checked = promisify(execFile)(promtool, ['check', 'metrics'])
  checked.child.stdin?.end((await app.inject('/metrics')).body)
  t.strictSame(await checked, { stdout: '', stderr: '' }, 'as are the metrics what it wants')
})
