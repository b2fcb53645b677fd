import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { redisUrl } from '../helpers/drivers.ts'
import { ENV, nodeOptions } from '../helpers/manage.ts'
import { task, work } from '../suites/task-fixture.ts'
import { redisDrivers } from './redis-fixture.ts'

const CHILD = fileURLToPath(new URL('./worker-child.ts', import.meta.url))

/** Kills a worker as soon as it runs `count` tasks; tells which. */
async function runAndKill(prefix: string, count: number): Promise<string[]> {
  const options = nodeOptions('--conditions=plinth-source')
  const args = [options, process.execPath, CHILD, redisUrl(), prefix]
  const child = spawn(ENV, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ids: string[] = []
  for await (const line of createInterface(child.stdout)) {
    ids.push(line)
    if (ids.length === count) break
  }
  child.kill('SIGKILL')
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  return ids
}

t.test('tasks of workers that are killed again and again run all the same', async (t) => {
  const prefix = `test-${randomUUID()}`
  const driver = redisDrivers(t, { prefix, lockDuration: 500, stalledInterval: 200 })()
  const tasks = Array.from({ length: 5 }, (_, input) => task({ input }))
  await driver.add(tasks)
  const ids = tasks.map(({ id }) => id)
  for (const _ of [1, 2, 3]) t.strictSame((await runAndKill(prefix, 5)).toSorted(), ids.toSorted())
  await work(t, driver, async ({ attempt }) => attempt)
  for (const id of ids) {
    const record = await driver.finished(id)
    t.match(record, { state: 'succeeded', result: 1, attempts: 1, attempts_made: 1 })
  }
})
