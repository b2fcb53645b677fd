import { type Browser, chromium } from 'playwright-core'
import type { Test } from 'tap'

/** A browser that finds no host but this one; `offline`: not even that. */
export function startBrowser({ offline = false } = {}): Promise<Browser> {
  const flags = ['no-sandbox', 'disable-gpu', 'disable-quic', 'no-first-run', 'disable-sync']
  const quiet = ['disable-background-networking', 'disable-component-update']
  const rules = `host-resolver-rules=MAP * ~NOTFOUND${offline ? '' : ' , EXCLUDE 127.0.0.1'}`
  return chromium.launch({
    executablePath: process.env.CHROMIUM_PATH as string,
    timeout: 120_000,
    args: [...flags, ...quiet, rules].map((flag) => `--${flag}`),
  })
}

/** A page in a browser of its own, with each URL that this asks for and all that it has to say; closed when `t` ends. */
export async function visit(t: Test, url: string) {
  const browser = await startBrowser()
  t.teardown(() => browser.close())
  const page = await browser.newPage({ viewport: { width: 1100, height: 560 } })
  page.setDefaultTimeout(120_000)
  const asked: string[] = []
  const said: string[] = []
  page.on('request', (request) => asked.push(request.url()))
  page.on('pageerror', (error) => said.push(String(error)))
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') said.push(message.text())
  })
  await page.goto(url)
  return { page, asked, said }
}
