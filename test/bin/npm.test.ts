import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { KIT, MANAGE, type ManageOptions, type Running, startManage } from '../helpers/manage.ts'
import { BARE, writeService } from '../helpers/service.ts'
import { startOnTerminal } from '../helpers/terminal.ts'

const { scripts } = JSON.parse(readFileSync(join(dirname(MANAGE), '../package.json'), 'utf8'))

// In `manage` a second takes twenty: what comes soon after something else does so on a busy machine, too.
const SLOW = `
if (/manage$/.test(process.argv[1])) {
  const now = performance.now.bind(performance)
  performance.now = () => now() / 20
}`

const SLOWLY = {
  NODE_OPTIONS: `${KIT} --import=data:text/javascript,${encodeURIComponent(SLOW)}`,
}

/** A service with the kit's own scripts. */
function writeScripts(t: Test): { folder: string; options: ManageOptions } {
  const packageJson = { name: 'shop', type: 'module', scripts, dependencies: { plinth: '*' } }
  const folder = writeService(t, { 'package.json': JSON.stringify(packageJson) })
  symlinkSync(dirname(MANAGE), join(folder, 'bin'))
  const env = {
    ...BARE,
    PORT: '0',
    GATE: join(folder, 'gate'),
    npm_config_cache: join(folder, 'npm'),
    npm_config_update_notifier: 'false',
  }
  return { folder, options: { service: folder, cwd: folder, env, program: ['npm'] } }
}

/** Sends a request that waits, ends the service, and lets the request go on; calls `then` in between. */
async function endDuring(
  t: Test,
  running: Running,
  folder: string,
  end: () => void,
  then: () => void = () => {},
): Promise<void> {
  const [, url = ''] = await running.until('stdout', /Server listening at (http:[\d.:/]+)/)
  const answer = fetch(`${url}/things/wait`)
  await running.until('stdout', /waiting/)
  end()
  await running.until('stdout', /the process ends/)
  then()
  writeFileSync(join(folder, 'gate'), '')
  t.equal((await answer).status, 200)
}

for (const script of ['start', 'dev']) {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    t.test(
      `npm run ${script}, ${signal} to npm: the request is answered, nothing is left`,
      async (t) => {
        const { folder, options } = writeScripts(t)
        const running = startManage(t, ['run', script], options)
        await endDuring(t, running, folder, () => running.process.kill(signal))
        // Whoever is left would hold stdout open.
        t.match(await running.ended, { code: 0, signal: null })
        t.throws(() => process.kill(-(running.process.pid as number), 0), { code: 'ESRCH' })
      },
    )
  }

  t.test(`npm run ${script}, Ctrl-C on a terminal counts once`, async (t) => {
    const { folder, options } = writeScripts(t)
    const env = { ...options.env, ...SLOWLY }
    const terminal = startOnTerminal(t, ['run', script], { ...options, env })
    await endDuring(t, terminal, folder, () => terminal.type('\x03'))
    const { code, stdout } = await terminal.ended
    t.equal(code, 0)
    t.notMatch(stdout, 'second')
  })
}

t.test('a script of npm on a terminal: the second signal of a Ctrl-C does not count', async (t) => {
  const { folder, options } = writeScripts(t)
  const { env, service } = options
  // As npm starts it; npm itself passes the signal on too soon, or too late, to see it every time.
  const terminal = startOnTerminal(t, ['serve'], {
    ...(service && { service }),
    env: { ...env, ...SLOWLY, npm_lifecycle_event: 'start' },
  })
  await endDuring(
    t,
    terminal,
    folder,
    () => terminal.type('\x03'),
    () => terminal.type('\x03'),
  )
  const { code, stdout } = await terminal.ended
  t.equal(code, 0)
  t.notMatch(stdout, 'second')
})

t.test('npm start on a terminal, a second Ctrl-C: it ends at once', async (t) => {
  const { options } = writeScripts(t)
  const terminal = startOnTerminal(t, ['start'], options)
  const [, url = ''] = await terminal.until('stdout', /Server listening at (http:[\d.:/]+)/)
  const answer = fetch(`${url}/things/wait`).catch(() => 'cut off')
  await terminal.until('stdout', /waiting/)
  // Those that come too soon are taken for one.
  const keys = setInterval(() => terminal.type('\x03'), 700)
  const { stdout } = await terminal.ended
  clearInterval(keys)
  t.match(stdout, /second SIG(INT|TERM), exiting/)
  t.equal(await answer, 'cut off')
})
