import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { freePort } from './ready.ts'

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))

const PASSING = `
  import t from 'tap'
  import { databaseDrivers, redisUrl } from '${path('../helpers/drivers.ts')}'
  for (const driver of databaseDrivers) {
    t.test(driver.name, async (t) => t.match(await driver.url(t), driver.name + ':'))
  }
  t.match(redisUrl(), /^redis:/)
  t.match(process.env.NODE_OPTIONS, '--conditions=plinth-source')`

const FAILING = `
  import t from 'tap'
  t.equal(1, 2)
  t.pass()`

const LITTERING = `
  import { mkdirSync, writeFileSync } from 'node:fs'
  import t from 'tap'
  mkdirSync('sub')
  for (const file of ['sub/litter', '../plinth-litter']) writeFileSync(file, '')
  t.pass()`

const HANGING = `
  import t from 'tap'
  t.test('hangs', () => {
    console.error('hangs')
    return new Promise((resolve) => setTimeout(resolve, 1e6))
  })`

const LINGERING = `
  import t from 'tap'
  t.pass()
  setInterval(function left() {}, 1e6)`

const PRIVATE = { TEST_MYSQL_URL: undefined, TEST_REDIS_URL: undefined }

/** Below folders that nobody else uses either: what is written beside the project is seen there. */
const PROJECT = 'a/b/c/project'
const TAPRC = `type-strip-only: true\ndisable-coverage: true\ntimeout: 300\nreporter: ${path('../reporter.ts')}\n`

/** Runs `test/run.ts` on one test file, with a folder for temporary files that nobody else uses. */
function run(t: Test, testFile: string, variables: NodeJS.ProcessEnv) {
  const root = mkdtempSync(join(tmpdir(), 'plinth-runner-'))
  const [project, temporary] = [join(root, PROJECT), join(root, 'temporary')]
  for (const folder of [join(project, 'test'), temporary]) mkdirSync(folder, { recursive: true })
  symlinkSync(path('../../node_modules'), join(root, 'node_modules'))
  spawnSync('git', ['init', '-q', project])
  writeFileSync(join(project, '.gitignore'), '.tap/\n')
  writeFileSync(join(project, '.taprc'), TAPRC)
  writeFileSync(join(project, 'test/inner.test.ts'), testFile)
  const outer = Object.entries(process.env).filter(([name]) => !/^_?TAP|^NODE_OPTIONS$/.test(name))
  const child = spawn(process.execPath, [path('../run.ts')], {
    cwd: project,
    env: { ...Object.fromEntries(outer), TMPDIR: temporary, ...variables },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const printed = { stdout: '', stderr: '' }
  child.stdout.on('data', (data) => (printed.stdout += data))
  child.stderr.on('data', (data) => (printed.stderr += data))
  // Tap and the test hold the output open: it is closed when they are gone as well.
  const ended = once(child, 'close')
  t.teardown(async () => {
    child.kill()
    await ended
    rmSync(root, { recursive: true, force: true })
  })
  return { child, printed, root, temporary, ended }
}

type Run = ReturnType<typeof run>

/** Waits, at most ten minutes, until the runner has printed this on stderr. */
async function untilPrinted({ child, printed }: Run, pattern: RegExp): Promise<void> {
  const signal = AbortSignal.timeout(600_000)
  while (!pattern.test(printed.stderr)) await once(child.stderr, 'data', { signal })
}

const isExpected = (file: string): boolean =>
  ['.tap/', '.git/', '.taprc', '.gitignore', 'test/inner.test.ts'].some((expected) =>
    file.startsWith(`${PROJECT}/${expected}`),
  )

const isOpen = (port: number): Promise<boolean> => {
  const socket = connect(port, '127.0.0.1')
  const answer = once(socket, 'connect')
  return answer
    .then(() => true)
    .catch(() => false)
    .finally(() => socket.destroy())
}

/** The folders, the files outside of what .gitignore names, and the ports of servers that a run has left behind. */
async function leftovers({ printed, root, temporary }: Run) {
  const lines = printed.stderr.matchAll(/starting .* on 127\.0\.0\.1:(\d+)/g)
  const ports = Array.from(lines, ([, port]) => Number(port))
  const open = await Promise.all(ports.map(isOpen))
  return {
    servers: ports.length,
    open: ports.filter((_, i) => open[i]),
    folders: readdirSync(temporary),
    files: globSync('{a,.*}/**', { cwd: root, withFileTypes: true })
      .filter((found) => found.isFile())
      .map((found) => relative(root, join(found.parentPath, found.name)))
      .filter((file) => !isExpected(file)),
  }
}

t.test('passes on servers of its own and leaves nothing behind', async (t) => {
  const passing = run(t, PASSING, PRIVATE)
  t.same(await passing.ended, [0, null])
  t.match(passing.printed.stdout, /\n4 passed, 0 failed\n$/)
  t.same(await leftovers(passing), { servers: 2, open: [], folders: [], files: [] })
})

t.test('fails where a test leaves something behind, in the checkout or beside it', async (t) => {
  const littering = run(t, LITTERING, {})
  t.same(await littering.ended, [1, null])
  t.match(littering.printed.stdout, /\n1 passed, 0 failed\n$/)
  t.match(
    littering.printed.stderr,
    /\nthe tests have left behind sub\/litter, \.\.\/plinth-litter\n$/,
  )
})

t.test('fails with a failing test, on servers that were given', async (t) => {
  const failing = run(t, FAILING, {})
  t.same(await failing.ended, [1, null])
  t.match(failing.printed.stdout, /\n1 passed, 1 failed\n$/)
  t.match(failing.printed.stderr, /using TEST_MYSQL_URL .*using TEST_REDIS_URL /s)
  t.same(await leftovers(failing), { servers: 0, open: [], folders: [], files: [] })
})

t.test('says what keeps the process of tests that have ended', async (t) => {
  const lingering = run(t, LINGERING, { TAP_TIMEOUT: '60' })
  t.same(await lingering.ended, [1, null])
  t.match(lingering.printed.stdout, /timer of 1000000 ms, set in\s+\S+inner\.test\.ts:4/)
  t.match(lingering.printed.stdout, /\n1 passed, 1 failed\n$/)
})

t.test('stops the tests and the servers on Ctrl-C', async (t) => {
  const hanging = run(t, HANGING, PRIVATE)
  await untilPrinted(hanging, /hangs/)
  hanging.child.kill('SIGINT')
  t.same(await hanging.ended, [130, null])
  t.same(await leftovers(hanging), { servers: 2, open: [], folders: [], files: [] })
})

t.test('leaves nothing behind when it is killed', async (t) => {
  const killed = run(t, PASSING, PRIVATE)
  await untilPrinted(killed, /starting (MariaDB|MySQL)/)
  await untilPrinted(killed, /starting Redis/)
  killed.child.kill('SIGKILL')
  t.same(await killed.ended, [null, 'SIGKILL'])
  // The guard outlives the runner for a moment.
  const deadline = Date.now() + 60_000
  let left = await leftovers(killed)
  while (Date.now() < deadline && left.open.length + left.folders.length > 0) {
    await delay(20)
    left = await leftovers(killed)
  }
  t.same(left, { servers: 2, open: [], folders: [], files: [] })
})

t.test('refuses a server that cannot be reached', async (t) => {
  const port = await freePort()
  const refused = run(t, PASSING, {
    TEST_MYSQL_URL: `mysql://root:secret@127.0.0.1:${port}`,
    TEST_REDIS_URL: undefined,
  })
  t.same(await refused.ended, [1, null])
  t.match(
    refused.printed.stderr,
    `MariaDB or MySQL cannot be reached by TEST_MYSQL_URL (connect ECONNREFUSED`,
  )
  t.notMatch(refused.printed.stderr, 'secret')
  t.equal(refused.printed.stdout, '')
  t.same((await leftovers(refused)).folders, [])
})
