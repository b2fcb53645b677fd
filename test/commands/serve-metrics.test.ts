import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startServe } from '../helpers/manage.ts'
import { ofMetric, readMetrics } from '../helpers/metrics.ts'
import { poll } from '../helpers/network.ts'
import { BARE, writeService } from '../helpers/service.ts'
import { freePort } from '../servers/ready.ts'

const ENV = { ...BARE, METRICS: 'true', REDIS_URL: undefined }

async function startGroup(
  t: Test,
  more: Record<string, string> = {},
  files: Record<string, string> = {},
) {
  const service = writeService(t, files)
  const env = { ...ENV, ...more }
  const group = await startServe(t, { service, args: ['--workers', '2', '--port', '0'], env })
  await group.until('stdout', /"workers":2,.*"msg":"serving"/)
  return { ...group, service }
}

async function scrape(url: string) {
  const answer = await fetch(`${url}/metrics`)
  if (answer.status !== 200) throw new Error(await answer.text())
  return readMetrics(await answer.text())
}

const served = 'http_request_duration_seconds_count{method="GET",route="/things",status="200"}'

/** On connections of their own: each process gets some. */
async function ask(url: string, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    const answer = await fetch(`${url}/things`, { headers: { connection: 'close' } })
    await answer.arrayBuffer()
  }
}

t.test('whichever process is asked tells what all have counted', async (t) => {
  const group = await startGroup(t)
  await ask(group.url, 10)
  let told = await scrape(group.url)
  // One that takes long to tell is missing.
  await poll(async () => {
    told = await scrape(group.url)
    return told.get(served) === 10 && told.get('telemetry_processes_missing') === 0
  })
  t.equal(told.get('telemetry_processes'), 2)
  t.equal(
    told.get('resource_duration_seconds_count{mode="cached",outcome="ok",resource="things.list"}'),
    10,
  )
  t.equal(Object.keys(ofMetric(told, 'process_cpu_seconds_total')).length, 1)
})

t.test('a port of its own: one that is frozen or dead takes nothing with it', async (t) => {
  const port = await freePort()
  const group = await startGroup(t, { METRICS_PORT: `${port}` })
  const metrics = `http://127.0.0.1:${port}`
  // The supervisor begins to listen when it hears of it.
  await poll(async () => (await scrape(metrics)).size > 0)
  t.equal((await fetch(`${group.url}/metrics`)).status, 404)
  t.equal((await fetch(`${metrics}/things`)).status, 404)
  await ask(group.url, 10)
  await poll(async () => (await scrape(metrics)).get(served) === 10)

  group.process.kill('SIGUSR2')
  const [line] = await group.until('stdout', /.*"msg":"state".*/)
  const [{ pid }] = JSON.parse(line).workers
  process.kill(pid, 'SIGSTOP')
  await poll(async () => (await scrape(metrics)).get('telemetry_processes_missing') === 1)
  const partial = await scrape(metrics)
  t.equal(partial.get('telemetry_processes'), 2)
  t.equal(partial.get(served), 10, 'what it told before still counts')

  process.kill(pid, 'SIGKILL')
  await group.until('stdout', /"signal":"SIGKILL","msg":"a process has died/)
  await poll(async () => {
    const told = await scrape(metrics)
    t.equal(told.get(served), 10)
    return told.get('telemetry_processes') === 2 && told.get('telemetry_processes_missing') === 0
  })
  await ask(group.url, 5)
  await poll(async () => (await scrape(metrics)).get(served) === 15)

  group.process.kill('SIGHUP')
  await group.until('stdout', /"msg":"the processes are replaced"/)
  t.equal((await scrape(metrics)).get(served), 15, 'those that were replaced have left theirs')
  group.process.kill('SIGTERM')
  t.match(await group.ended, { code: 0, stderr: '' })
})

/** A service with a gauge that cannot be read while a file is there, and a counter. */
const BROKEN = `
import { existsSync } from 'node:fs'
import { Counter, Gauge } from 'prom-client'
import { defineService } from 'plinth'
import { things } from './things.ts'

async function measure(app) {
  const registers = [app.telemetry.registry]
  app.telemetry.registry.setDefaultLabels({ region: 'north' })
  new Counter({ name: 'sold_total', help: 'Sold', registers }).inc(3)
  new Gauge({
    name: 'stock',
    help: 'Stock',
    registers,
    collect() {
      if (existsSync(new URL('../broken', import.meta.url))) throw new Error('no')
      this.set(5)
    },
  })
}

export default defineService({ name: 'shop', modules: { things }, plugins: [measure] })
`

t.test('a metric that cannot be read is missing, and ends no process', async (t) => {
  const group = await startGroup(t, {}, { 'src/service.ts': BROKEN })
  const broken = join(group.service, 'broken')
  const stock = 'stock{region="north"}'
  const isTold = (missing: number, value: number | undefined) => async () => {
    const told = await scrape(group.url)
    const isWhole =
      told.get('telemetry_processes') === 2 && told.get('telemetry_processes_missing') === 0
    if (isWhole) t.equal(told.get('sold_total{region="north"}'), 6)
    return isWhole && told.get('telemetry_metrics_missing') === missing && told.get(stock) === value
  }
  await poll(isTold(0, 10))
  writeFileSync(broken, '')
  await poll(isTold(2, undefined))
  rmSync(broken)
  await poll(isTold(0, 10))
  writeFileSync(broken, '')
  group.process.kill('SIGTERM')
  const { code, stdout, stderr } = await group.ended
  t.match({ code, stderr }, { code: 0, stderr: '' })
  t.notMatch(stdout, 'a process has died')
})

t.test('one process serves it on a port of its own, too', async (t) => {
  const port = await freePort()
  const service = writeService(t)
  const one = await startServe(t, { service, env: { ...ENV, METRICS_PORT: `${port}` } })
  await ask(one.url, 3)
  await poll(async () => (await scrape(`http://127.0.0.1:${port}`)).get(served) === 3)
  const second = startServe(t, { service, env: { ...ENV, METRICS_PORT: `${port}` } })
  const other = await second
  t.match(await other.ended, { code: 1, stderr: `${port}` })
  one.process.kill('SIGTERM')
  t.match(await one.ended, { code: 0, stderr: '' })
})
