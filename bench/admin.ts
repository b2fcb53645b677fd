// How long the admin takes to show Atlas' cities in a browser, from the first byte that is asked for to the rows: docs/benchmarks.md. `node bench/admin.ts`
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { addressOf } from './server.ts'
import { median } from './statistics.ts'

const TIMES = 20
const MANAGE = fileURLToPath(new URL('../bin/manage', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'plinth-admin-'))
const options = {
  cwd: fileURLToPath(new URL('../examples/atlas', import.meta.url)),
  env: {
    ...process.env,
    NODE_ENV: 'development',
    DATABASE_URL: `sqlite:${join(folder, 'atlas.db')}`,
    JWT_KEY: 'a secret of this bench, and of nobody else',
    HOST: '127.0.0.1',
    PORT: '0',
  },
}

for (const command of ['migrate', 'seed'])
  execFileSync(process.execPath, [MANAGE, command], { ...options, stdio: 'ignore' })
const server = spawn(process.execPath, [MANAGE, 'serve'], {
  ...options,
  stdio: ['ignore', 'pipe', 'inherit'],
})
const closed = once(server, 'close')
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'],
})
try {
  const url = `${await addressOf(server.stdout)}/_/admin#/city`
  const [first = Number.NaN, ...times] = await show(url)
  const slowest = Math.max(...times)
  console.log('| the admin shows 135,233 cities | ms |\n| --- | --: |')
  console.log(`| at first | ${first.toFixed(0)} |`)
  console.log(`| then, in a new window each time | ${median(times).toFixed(0)} |`)
  console.log(`| the slowest of ${times.length} of these | ${slowest.toFixed(0)} |`)
} finally {
  await browser.close()
  server.kill('SIGTERM')
  await closed
  rmSync(folder, { recursive: true })
}

async function show(url: string): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i <= TIMES; i++) {
    const context = await browser.newContext()
    const page = await context.newPage()
    const began = performance.now()
    await page.goto(url, { waitUntil: 'commit' })
    await page.locator('td[data-column="name"]').first().waitFor()
    times.push(performance.now() - began)
    await context.close()
  }
  return times
}
