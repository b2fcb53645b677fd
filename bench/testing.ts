import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { attach } from '../test/servers/attach.ts'
import { mysql } from '../test/servers/mysql.ts'
import { progress } from '../test/servers/ready.ts'
import type { Sandbox } from '../test/servers/sandbox.ts'
import { median } from './statistics.ts'

/** A file of 100 tests, each of which finds a database of its own. */
export interface TestRun {
  name: string
  /** Seconds from the start of its process until it has ended. */
  time: number
}

const WAYS = { reset: 'one app, reset after each', app: 'an app for each' } as const

/** Times `node` with a file of 100 tests of Atlas, each of which writes and counts rows, on both databases. */
export async function measureTesting(sandbox: Sandbox, pairs: number): Promise<TestRun[]> {
  const { TEST_MYSQL_URL = '' } = await attach([mysql], sandbox)
  const databases = { SQLite: 'sqlite', MariaDB: TEST_MYSQL_URL }
  const runs: TestRun[] = []
  for (const [kind, database] of Object.entries(databases)) {
    for (const [way, title] of Object.entries(WAYS)) {
      progress(`testing: ${kind}, ${title}`)
      const times: number[] = []
      for (let run = 0; run < Math.min(pairs, 5); run++) times.push(await timeRun(way, database))
      runs.push({ name: `100 tests, ${kind}: ${title}`, time: median(times) })
    }
  }
  return runs
}

async function timeRun(way: string, database: string): Promise<number> {
  const began = performance.now()
  const child = spawn(process.execPath, ['bench/testing-child.ts', way], {
    cwd: new URL('..', import.meta.url),
    env: { ...process.env, TEST_DATABASE_URL: database },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`testing-child.ts ${way} exits with ${code}`)
  return (performance.now() - began) / 1000
}
