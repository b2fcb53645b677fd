import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { request } from 'node:http'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import t, { type Test } from 'tap'
import { logLines, MANAGE, type ManageOptions, manage, startManage } from '../helpers/manage.ts'
import { poll } from '../helpers/network.ts'
import { BARE, writeService } from '../helpers/service.ts'

/** Which process answers. */
const TELL = `
import { defineModule, defineResource, Type } from 'plinth'

const tell = defineResource({
  summary: 'Who answers',
  response: Type.Integer(),
  rateLimits: { by: 'address', max: 1000, duration: 60_000 },
  perform: () => process.pid,
})

export const things = defineModule({ prefix: '/things', resources: { tell } })
`

const FILES = {
  'src/things.ts': TELL,
  'src/service.ts': `
    import { defineService } from 'plinth'
    import { things } from './things.ts'
    export default defineService({ name: 'shop', modules: { things }, rateLimits: [] })`,
}

const ENV = { ...BARE, REDIS_URL: undefined }

/** The path of a socket has at most 107 bytes: fewer than folders of tap's have. */
function shortFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'plinth-socket-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}

/** A process that listens on something else than a port. */
async function startServe(t: Test, args: readonly string[], options: ManageOptions = {}) {
  const service = options.service ?? writeService(t, FILES)
  const env = { ...ENV, ...options.env }
  const running = startManage(t, ['serve', ...args], { ...options, service, env })
  await running.until('stdout', args.includes('--workers') ? /"msg":"serving"/ : /Server listening/)
  return { ...running, service }
}

/** The process that answers at a socket or a port. */
function ask(at: { socketPath: string } | { port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request({ ...at, path: '/things', agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk
      })
      response.on('end', () => resolve(JSON.parse(text).data))
    })
    asked.once('error', reject).end()
  })
}

async function askAll(at: { socketPath: string } | { port: number }): Promise<Set<number>> {
  return new Set(await Promise.all(Array.from({ length: 12 }, () => ask(at))))
}

t.test('it serves on a unix socket, which is gone when it has ended', async (t) => {
  const socketPath = join(shortFolder(t), 'http.sock')
  const { process: child, ended } = await startServe(t, ['--socket', socketPath])
  t.equal(await ask({ socketPath }), child.pid)
  child.kill('SIGTERM')
  const { code, stdout, stderr } = await ended
  t.same({ code, stderr }, { code: 0, stderr: '' })
  t.ok(logLines(stdout).some(({ msg }) => msg === `Server listening at ${socketPath}`))
  t.notOk(existsSync(socketPath))
})

t.test('a path in the folder that it is started in', async (t) => {
  const cwd = shortFolder(t)
  const { process: child } = await startServe(t, ['--socket', 'http.sock'], { cwd })
  t.equal(await ask({ socketPath: join(cwd, 'http.sock') }), child.pid)
})

t.test('the socket of a process that was killed is replaced', async (t) => {
  const socketPath = join(shortFolder(t), 'http.sock')
  const first = await startServe(t, ['--socket', socketPath])
  first.process.kill('SIGKILL')
  await first.ended
  t.ok(statSync(socketPath).isSocket(), 'it has left its socket')
  const { process: child } = await startServe(t, ['--socket', socketPath])
  t.equal(await ask({ socketPath }), child.pid)
})

t.test('a socket that is answered is refused, and goes on', async (t) => {
  const socketPath = join(shortFolder(t), 'http.sock')
  const { process: child, service } = await startServe(t, ['--socket', socketPath])
  const options = { service, env: ENV }
  const { code, stdout, stderr } = await manage(t, ['serve', '--socket', socketPath], options)
  t.same({ code, stdout }, { code: 1, stdout: '' })
  t.equal(
    stderr,
    `error SOCKET_IN_USE: A process answers on the socket ${socketPath}; stop it, or choose another with --socket\n`,
  )
  t.equal(await ask({ socketPath }), child.pid)
})

t.test('what is no socket, or cannot be one, is refused and left as it is', async (t) => {
  const folder = shortFolder(t)
  writeFileSync(join(folder, 'notes.txt'), 'mine')
  const service = writeService(t, FILES)
  const refused: [path: string, problem: RegExp][] = [
    ['notes.txt', /what is there is no socket/],
    ['gone/http.sock', /ENOENT|EACCES/],
    [`${'x'.repeat(200)}.sock`, /EINVAL|ENAMETOOLONG/],
  ]
  for (const [path, problem] of refused) {
    const args = ['serve', '--socket', join(folder, path)]
    const { code, stdout, stderr } = await manage(t, args, { service, env: ENV })
    t.same({ code, stdout }, { code: 1, stdout: '' }, path)
    t.match(stderr, /^error SOCKET_UNUSABLE: The server cannot listen on .*\n$/)
    t.match(stderr, problem)
  }
  t.equal(readFileSync(join(folder, 'notes.txt'), 'utf8'), 'mine')
})

t.test('a socket and a port are wrong usage', async (t) => {
  const service = writeService(t, FILES)
  for (const other of [
    ['--port', '0'],
    ['--host', '127.0.0.1'],
  ]) {
    const { code, stderr } = await manage(t, ['serve', '--socket', 'x.sock', ...other], {
      service,
      env: ENV,
    })
    t.equal(code, 2)
    t.match(stderr, `--socket`)
  }
})

t.test('several processes serve on one socket, and replace one another', async (t) => {
  const socketPath = join(shortFolder(t), 'http.sock')
  const args = ['--socket', socketPath, '--workers', '2']
  const first = await startServe(t, args)
  first.process.kill('SIGKILL')
  await first.ended
  const { process: child, until, ended } = await startServe(t, args)
  const old = await askAll({ socketPath })
  t.equal(old.size, 2)
  t.notOk(old.has(child.pid ?? 0), 'the one that was started supervises')
  child.kill('SIGHUP')
  await until('stdout', /the processes are replaced/)
  const fresh = await askAll({ socketPath })
  t.same([fresh.size, [...fresh].filter((pid) => old.has(pid))], [2, []])
  child.kill('SIGTERM')
  t.equal((await ended).code, 0)
  t.notOk(existsSync(socketPath))
})

/** A process that is started as systemd does: with a listening socket as its descriptor 3. */
async function activate(t: Test, args: readonly string[], count = '1', at: string | number = 0) {
  const server =
    typeof at === 'string' ? createServer().listen(at) : createServer().listen(at, '127.0.0.1')
  await once(server, 'listening')
  // Node.js removes what it has made, under the name that it has made it with.
  if (typeof at === 'string') renameSync(at, `${at}.moved`)
  const { port } = Object(server.address()) as { port: number }
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle
  const service = writeService(t, FILES)
  const running = startManage(t, ['serve', ...args], {
    service,
    env: { ...ENV, LISTEN_FDS: count, LISTEN_FDNAMES: 'http.socket' },
    descriptor: fd,
    program: ['/bin/sh', '-c', 'LISTEN_PID=$$ exec "$0" "$@"', process.execPath, MANAGE],
  })
  // The other end has it by now; nobody is to accept here.
  server.close()
  return { ...running, port }
}

t.test('it serves on a socket that it is passed', async (t) => {
  const { port, process: child, until, ended } = await activate(t, [])
  await until('stdout', /Server listening/)
  t.equal(await ask({ port }), child.pid)
  child.kill('SIGTERM')
  t.equal((await ended).code, 0)
})

t.test('also where that is a unix socket, which stays', async (t) => {
  for (const more of [[], ['--workers', '2']]) {
    const path = join(shortFolder(t), 'http.sock')
    const { process: child, until, ended } = await activate(t, more, '1', path)
    await until('stdout', more.length > 0 ? /"msg":"serving"/ : /Server listening at descriptor 3/)
    const socketPath = `${path}.moved`
    t.equal((await askAll({ socketPath })).size, more.length > 0 ? 2 : 1)
    child.kill('SIGTERM')
    t.equal((await ended).code, 0)
    t.ok(existsSync(socketPath))
  }
})

t.test('so do several processes; a flag comes before it', async (t) => {
  const { port, process: child, until, ended } = await activate(t, ['--workers', '2'])
  await until('stdout', /"msg":"serving"/)
  t.equal((await askAll({ port })).size, 2)
  child.kill('SIGTERM')
  t.equal((await ended).code, 0)

  const told = await activate(t, ['--port', '0'])
  const [, own] = await told.until('stdout', /Server listening at http:\/\/127\.0\.0\.1:(\d+)/)
  t.not(Number(own), told.port)
  t.equal(await ask({ port: Number(own) }), told.process.pid)
})

t.test('when the last process that has the passed socket dies, it all ends with 1', async (t) => {
  const { port, until, ended } = await activate(t, ['--workers', '1'])
  await until('stdout', /"msg":"serving"/)
  process.kill(await ask({ port }), 'SIGKILL')
  const { code, stdout } = await ended
  t.equal(code, 1)
  t.match(stdout, 'no process is left that has the socket that was passed')
})

t.test('two sockets, or something else, are refused', async (t) => {
  const { ended } = await activate(t, [], '2')
  t.match(await ended, {
    code: 1,
    stderr: /^error SOCKET_UNUSABLE: .*\(LISTEN_FDS is 2\)/,
  })
  const none = startManage(t, ['serve'], {
    service: writeService(t, FILES),
    env: { ...ENV, LISTEN_FDS: '1' },
    program: [
      '/bin/sh',
      '-c',
      'LISTEN_PID=$$ exec "$0" "$@" 3</dev/null',
      process.execPath,
      MANAGE,
    ],
  })
  t.match(await none.ended, { code: 1, stderr: /^error SOCKET_UNUSABLE: .* descriptor 3 \(/ })
})

/** A folder with a `systemd-notify` that writes down what it is asked to say, and for whom. */
function fakeNotify(t: Test) {
  const folder = shortFolder(t)
  const said = join(folder, 'said')
  writeFileSync(said, '')
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  const program = join(bin, 'systemd-notify')
  writeFileSync(program, `#!/bin/sh\necho "$PPID $NOTIFY_SOCKET $@" >> ${said}\n`)
  chmodSync(program, 0o755)
  const path = [bin, process.env.PATH].join(delimiter)
  return { path, lines: () => readFileSync(said, 'utf8').trimEnd().split('\n') }
}

for (const [what, more] of [
  ['one process', []],
  ['the supervisor of several, alone', ['--workers', '2']],
] as const) {
  t.test(`systemd is told by ${what}: that it is ready, lives, and ends`, async (t) => {
    const { path, lines } = fakeNotify(t)
    const socketPath = join(shortFolder(t), 'http.sock')
    const env = { PATH: path, NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '200000' }
    const args = ['--socket', socketPath, ...more]
    const { process: child, ended } = await startServe(t, args, { env })
    const of = (state: string) => `${child.pid} /run/notify ${state}`
    await poll(async () => lines().filter((line) => line === of('WATCHDOG=1')).length > 1)
    // Each is told by a process of its own.
    await poll(async () => lines().includes(of('READY=1')))
    child.kill('SIGTERM')
    t.equal((await ended).code, 0)
    await poll(async () => lines().some((line) => line.endsWith('STOPPING=1')))
    const states = lines().map((line) => line.split(' ').at(-1))
    const once = states.filter((state) => state !== 'WATCHDOG=1')
    t.strictSame(once, ['READY=1', 'STOPPING=1'], 'each once, in this order')
  })
}

t.test('without the program of systemd it serves all the same, and a line says why', async (t) => {
  const socketPath = join(shortFolder(t), 'http.sock')
  const env = { PATH: shortFolder(t), NOTIFY_SOCKET: '/run/notify', LOG_LEVEL: 'debug' }
  const { process: child, until } = await startServe(t, ['--socket', socketPath], { env })
  await until('stdout', /"level":"debug",.*the service manager is not told/)
  t.equal(await ask({ socketPath }), child.pid)
})

t.test('a thousand connect at once while the process has no time to accept any', async (t) => {
  const folder = t.testdir()
  const gate = join(folder, 'gate')
  const service = writeService(t, {
    'src/things.ts': `
      import { existsSync } from 'node:fs'
      import { defineModule, defineResource } from 'plinth'
      const block = defineResource({
        summary: 'Keeps the process busy until there is a file',
        perform() {
          console.log('blocked')
          const nothing = new Int32Array(new SharedArrayBuffer(4))
          for (let i = 0; i < 3000 && !existsSync(process.env.GATE); i++) Atomics.wait(nothing, 0, 0, 10)
          return null
        },
      })
      export const things = defineModule({ prefix: '/things', resources: { block } })`,
    'src/service.ts': FILES['src/service.ts'],
  })
  const path = join(shortFolder(t), 'shop')
  for (const [name, args, at] of [
    ['a port', ['--port', '0'], undefined],
    ['a socket', ['--socket', path], { path }],
  ] as const)
    await t.test(name, async (t) => {
      rmSync(gate, { force: true })
      const env = { GATE: gate, LOAD_SHEDDING: 'false' }
      const running = await startServe(t, args, { service, env })
      const [, port] = await running.until(
        'stdout',
        /listening at http:\/\/127\.0\.0\.1:(\d+)|listening at/,
      )
      const place = at ?? { host: '127.0.0.1', port: Number(port) }
      const first = connect(place)
      const answer = once(first, 'data')
      let isBusy = true
      first.once('data', () => {
        isBusy = false
      })
      first.write('GET /things HTTP/1.1\r\nHost: shop\r\n\r\n')
      await running.until('stdout', /blocked/)
      const sockets = Array.from({ length: 1000 }, () => connect(place))
      t.teardown(() => {
        for (const socket of [first, ...sockets]) socket.destroy()
      })
      // Where the queue is full, a port lets them try again for seconds, and a socket refuses them.
      await Promise.all(sockets.map((socket) => once(socket, 'connect')))
      t.ok(isBusy, 'none was accepted')
      writeFileSync(gate, '')
      t.match(`${(await answer)[0]}`, /^HTTP\/1\.1 200/)
    })
})
