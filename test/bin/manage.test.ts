import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { isTooOld } from '../../bin/_node.js'
import { MANAGE, manage, startManage, startServe } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'
import { startOnTerminal } from '../helpers/terminal.ts'

// A Node.js that says it is an old one, and so do not the ones that it starts.
const PRETEND = `data:text/javascript,${encodeURIComponent(`
  if (process.env.PRETEND) {
    const versions = { ...process.versions, node: process.env.PRETEND }
    Object.defineProperty(process, 'versions', { value: versions })
    delete process.env.PRETEND
  }`)}`
const pretended = {
  env: { PRETEND: '20.11.1' },
  program: [process.execPath, '--import', PRETEND],
}

const require = createRequire(import.meta.url)
const { version: PINNED }: { version: string } = require('node/package.json')
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

/** Every old Node.js of PATH that can start `manage`, beside the pretended one. */
const olds = [pretended, ...realOlds().map((node) => ({ env: {}, program: [node] }))]

function realOlds(): string[] {
  const found = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !folder.endsWith(join('node_modules', '.bin')))
    .map((folder) => join(folder, 'node'))
    .filter((file) => existsSync(file))
    .map((file) => realpathSync(file))
  return [...new Set(found)].filter(isOldEnough)
}

function isOldEnough(node: string): boolean {
  const { stdout } = spawnSync(node, ['-p', 'process.versions.node'], {
    encoding: 'utf8',
    env: {},
  })
  const version = stdout.trim()
  return /^\d/.test(version) && Number.parseInt(version, 10) >= 20 && isTooOld(version)
}

/** bin/ and package.json of the kit where no node_modules is in reach. */
function copyBin(t: Test): string {
  const root = mkdtempSync(join(tmpdir(), 'plinth-bin-'))
  t.teardown(() => rmSync(root, { recursive: true }))
  cpSync(dirname(MANAGE), join(root, 'bin'), { recursive: true })
  cpSync(join(dirname(MANAGE), '../package.json'), join(root, 'package.json'))
  return root
}

t.test('which Node.js is too old', async (t) => {
  const expected = {
    '18.20.8': true,
    '20.20.2': true,
    '22.18.0': true,
    '22.19.0': false,
    '22.20.1': false,
    '23.0.0': false,
    '24.1.0': false,
    '100.0.0': false,
  }
  const found = Object.keys(expected).map((version) => [version, isTooOld(version)])
  t.strictSame(Object.fromEntries(found), expected)
})

t.test('it runs from any folder, through a symbolic link, and by its name in PATH', async (t) => {
  const service = writeService(t)
  const listed = /^things\.list +GET +\/things +Every thing$/m
  const link = join(service, 'link')
  symlinkSync(MANAGE, link)
  const bin = join(service, 'bin')
  mkdirSync(bin)
  symlinkSync(MANAGE, join(bin, 'manage'))
  const ways = [
    { cwd: '/' },
    { cwd: service, program: ['./link'] },
    { cwd: '/', program: [process.execPath, link] },
    { cwd: '/', program: ['manage'], env: { PATH: bin + delimiter + process.env.PATH } },
  ]
  for (const way of ways) {
    const { code, stdout, stderr } = await manage(t, ['resources'], { service, ...way })
    t.same({ code, stderr }, { code: 0, stderr: '' }, JSON.stringify(way))
    t.match(stdout, listed)
  }
})

for (const { env, program } of olds) {
  t.test(`started by an old Node.js (${env === pretended.env ? 'pretended' : program[0]})`, (t) => {
    const old = { env, program: [...program, MANAGE] }

    t.test('a newer one does the work; exit codes and streams are passed on', async (t) => {
      const service = writeService(t)
      const { stdout } = await manage(t, ['--version'], old)
      t.match(stdout, `(Node.js v${PINNED})`)

      const ok = await manage(t, ['call', 'things.add', '-'], {
        ...old,
        service,
        input: '{"id": 7, "name": "x"}',
      })
      t.strictSame(
        { ...ok, stdout: JSON.parse(ok.stdout) },
        {
          code: 0,
          signal: null,
          stdout: { id: 7, name: 'x' },
          stderr: '',
        },
      )

      const failed = await manage(t, ['call', 'things.retrieve', '{"id": 2}'], { ...old, service })
      t.equal(failed.code, 1)
      t.match(failed.stderr, 'error NOT_FOUND: There is no thing 2\n')
      t.equal((await manage(t, ['nosuch'], old)).code, 2)
    })

    for (const signal of program === pretended.program ? SIGNALS : SIGNALS.slice(0, 1)) {
      t.test(`${signal} ends a server gracefully`, async (t) => {
        const {
          process: parent,
          url,
          ended,
        } = await startServe(t, {
          ...old,
          service: writeService(t),
        })
        t.equal((await fetch(`${url}/ping`)).status, 200)
        parent.kill(signal)
        const { code, stdout } = await ended
        t.equal(code, 0)
        t.match(stdout, `"signal":"${signal}"`)
      })
    }

    t.test('where it is killed, the newer one answers what it has begun, and ends', async (t) => {
      const service = writeService(t)
      const gate = join(service, 'gate')
      const running = await startServe(t, { ...old, service, env: { ...env, GATE: gate } })
      const answer = fetch(`${running.url}/things/wait`)
      await running.until('stdout', /waiting/)
      running.process.kill('SIGKILL')
      await running.until('stdout', /the process ends/)
      writeFileSync(gate, '')
      t.equal((await answer).status, 200)
      // The newer one holds stdout open for as long as it runs.
      t.match(await running.ended, { code: null, signal: 'SIGKILL' })
    })

    t.test('where a signal ends the newer one, the same ends the old one', async (t) => {
      const service = writeService(t, {
        'src/service.ts': 'process.kill(process.pid, "SIGKILL")',
      })
      const { code, signal } = await manage(t, ['resources'], { ...old, service })
      t.same({ code, signal }, { code: null, signal: 'SIGKILL' })
    })

    t.test('where there is no newer one, it says so in one line and exits with 1', async (t) => {
      const root = copyBin(t)
      const { code, stdout, stderr } = await manage(t, ['--help'], {
        env,
        program: [...program, join(root, 'bin/manage')],
        cwd: '/',
      })
      t.same({ code, stdout }, { code: 1, stdout: '' })
      t.match(
        stderr,
        /^manage needs Node\.js 22\.19 or newer and was started by 20\.\S+; install one, .*\n$/,
      )
    })
    t.end()
  })
}

t.test(
  'the pinned Node.js is looked for beside the script, then in the working folder',
  async (t) => {
    const root = copyBin(t)
    const script = join(root, 'bin/manage')
    const home = join(root, 'home')
    const install = (folder: string, version: string, says: string | null) => {
      const node = join(folder, 'node_modules/node')
      mkdirSync(join(node, 'bin'), { recursive: true })
      writeFileSync(join(node, 'package.json'), JSON.stringify({ name: 'node', version }))
      if (says === null) return
      writeFileSync(join(node, 'bin/node'), `#!/bin/sh\necho ${says} "$@"\n`, { mode: 0o755 })
    }
    const run = () =>
      manage(t, ['check', 'a b'], {
        env: pretended.env,
        program: [...pretended.program, script],
        cwd: home,
      })
    mkdirSync(home)
    const said = (who: string) => `${who} --import ${PRETEND} ${script} check a b\n`

    install(home, '26.0.0', 'home')
    t.match(await run(), { code: 0, stdout: said('home') })
    install(root, '26.0.0', 'own')
    t.match(await run(), { code: 0, stdout: said('own') })
    install(root, '20.0.0', 'old')
    t.match(await run(), { code: 0, stdout: said('home') }, 'one as old is no help')
    install(home, '20.0.0', 'old')
    t.match(await run(), { code: 1, stdout: '', stderr: /^manage needs Node\.js/ })
  },
)

t.test('a Node.js that was installed without its program is passed over', async (t) => {
  const root = copyBin(t)
  const node = join(root, 'node_modules/node')
  mkdirSync(node, { recursive: true })
  writeFileSync(join(node, 'package.json'), JSON.stringify({ name: 'node', version: '26.0.0' }))
  const ended = await manage(t, [], {
    env: pretended.env,
    program: [...pretended.program, join(root, 'bin/manage')],
    cwd: '/',
  })
  t.match(ended, { code: 1, stdout: '', stderr: /^manage needs Node\.js .*\n$/ })
})

t.test('Ctrl-C on a terminal reaches the server once, though both processes get it', async (t) => {
  const service = writeService(t)
  const terminal = startOnTerminal(t, ['serve', '--port', '0'], {
    service,
    env: { ...pretended.env, GATE: join(service, 'gate') },
    program: [...pretended.program, MANAGE],
  })
  const [, url] = await terminal.until('stdout', /Server listening at (http:[\d.:/]+)/)
  const answer = fetch(`${url}/things/wait`)
  await terminal.until('stdout', /waiting/)
  terminal.type('\x03')
  await terminal.until('stdout', /the process ends/)
  writeFileSync(join(service, 'gate'), '')
  t.equal((await answer).status, 200)
  const { code, stdout } = await terminal.ended
  t.equal(code, 0)
  t.notMatch(stdout, 'second SIGINT')
})

t.test('superviseChild', (t) => {
  const child = pathToFileURL(join(dirname(MANAGE), '_child.js')).href
  const run = (t: Test, source: string) =>
    startManage(t, [], {
      program: [
        process.execPath,
        '--input-type=module',
        '-e',
        `import { superviseChild } from '${child}'; ${source}`,
      ],
    })

  t.test('it rejects when the program cannot be started', async (t) => {
    const source = `await superviseChild('/no/such/program', []).catch((e) => console.log(e.code))`
    t.match(await run(t, source).ended, { code: 0, stdout: 'ENOENT\n', stderr: '' })
  })

  t.test('it adds to the environment and gives the exit code', async (t) => {
    const source = `process.exit(await superviseChild('/bin/sh', ['-c', 'echo $A; exit 7'], { A: 'b' }))`
    t.match(await run(t, source).ended, { code: 7, stdout: 'b\n' })
  })

  t.test('a signal that comes when the child has ended does not count', async (t) => {
    const source = `
      const code = await superviseChild('/bin/sh', ['-c', 'exit 7'])
      for (const signal of ['SIGTERM', 'SIGINT']) process.kill(process.pid, signal)
      process.exit(code)`
    t.match(await run(t, source).ended, { code: 7, signal: null })
  })

  for (const signal of ['SIGHUP', 'SIGUSR2', 'SIGQUIT'] as const) {
    t.test(`${signal} is passed on`, async (t) => {
      const script = `trap 'echo got; exit 3' ${signal.slice(3)}; echo ready; while :; do sleep 0.05; done`
      const running = run(
        t,
        `process.exit(await superviseChild('/bin/sh', ['-c', ${JSON.stringify(script)}]))`,
      )
      await running.until('stdout', /ready/)
      running.process.kill(signal)
      t.match(await running.ended, { code: 3, stdout: 'ready\ngot\n' })
    })
  }
  t.end()
})
