import t from 'tap'
import { manage, startServe } from '../helpers/manage.ts'
import { isListening, occupy } from '../helpers/network.ts'
import { BARE, THINGS, writeService } from '../helpers/service.ts'
import { freePort } from '../servers/ready.ts'

t.test('it serves on a free port', async (t) => {
  const { url } = await startServe(t, { service: writeService(t), env: BARE })
  t.match(url, /^http:\/\/127\.0\.0\.1:[1-9]\d{3,4}$/)
  const answer = await fetch(`${url}/things/1`)
  t.equal(answer.status, 200)
  t.match(await answer.json(), { result: true, code: 0, data: { id: 1, name: 'one' } })
})

t.test('the port: flag, environment, .env, default; the host likewise', async (t) => {
  const dotenv = await freePort()
  const environment = await freePort()
  const service = writeService(t, { '.env': `PORT=${dotenv}\nHOST=127.0.0.3\n` })
  const urlOf = async (args: string[], env: Record<string, string> = {}) => {
    const {
      url,
      process: child,
      ended,
    } = await startServe(t, {
      service,
      args,
      env: { ...BARE, ...env },
    })
    child.kill()
    await ended
    return url
  }
  t.equal(await urlOf([]), `http://127.0.0.3:${dotenv}`)
  const env = { PORT: String(environment), HOST: '127.0.0.2' }
  t.equal(await urlOf([], env), `http://127.0.0.2:${environment}`)
  const free = await freePort()
  t.equal(await urlOf(['-p', String(free), '--host', '127.0.0.1'], env), `http://127.0.0.1:${free}`)
  t.match(await urlOf(['--port', '0'], env), /^http:\/\/127\.0\.0\.2:(?!0$)\d+$/, '0 is a port')
})

t.test('a port in use: PORT_IN_USE, exit code 1', async (t) => {
  const port = await occupy(t)
  const service = writeService(t)
  const { code, stdout, stderr } = await manage(t, ['serve', '--port', String(port)], {
    service,
    env: BARE,
  })
  t.same({ code, stdout }, { code: 1, stdout: '' })
  t.equal(
    stderr,
    `error PORT_IN_USE: 127.0.0.1:${port} is already in use; stop what listens there, or choose another with --port or PORT\n`,
  )
})

t.test('an address of another machine: ADDRESS_UNUSABLE, exit code 1', async (t) => {
  const { code, stdout, stderr } = await manage(t, ['serve', '-p', '0', '--host', '192.0.2.1'], {
    service: writeService(t),
    env: BARE,
  })
  t.same({ code, stdout }, { code: 1, stdout: '' })
  t.match(stderr, /^error ADDRESS_UNUSABLE: The server cannot listen on 192\.0\.2\.1:0 \(.*\n$/)
  t.match(stderr, 'EADDRNOTAVAIL')
})

t.test('a bad configuration: every problem once, exit code 1', async (t) => {
  const service = writeService(t, {
    'src/service.ts': `
      import { defineService, Type } from 'plinth'
      const env = Type.Object({ SITE: Type.String({ format: 'uri' }) })
      export default defineService({ name: 'shop', env, modules: {} })`,
  })
  const env = { PORT: 'http', LOG_LEVEL: 'loud', DATABASE_URL: 'hunter2' }
  const { code, stdout, stderr } = await manage(t, ['serve'], { service, env })
  t.same({ code, stdout }, { code: 1, stdout: '' })
  const lines = stderr.trimEnd().split('\n')
  t.equal(lines.shift(), 'error CONFIG_INVALID: The configuration is not valid:')
  t.strictSame(
    lines.map((line) => line.split(':')[0]?.trim()),
    ['PORT', 'LOG_LEVEL', 'DATABASE_URL', 'SITE'],
  )
  t.notMatch(stderr, 'hunter2')
})

t.test('a service that is broken: where and why, exit code 1, nothing left running', async (t) => {
  const broken: [Record<string, string>, RegExp][] = [
    [{ 'src/service.ts': 'const a = 1\nconst = 2' }, /src\/service\.ts cannot .*service\.ts:2\)$/],
    [{ 'src/things.ts': '\n\nconst = 2' }, /src\/service\.ts cannot .*src\/things\.ts:3\)$/],
    [
      { 'src/service.ts': 'export const nothing = 1' },
      /default export is undefined; expected what defineService returns$/,
    ],
    [
      {
        'src/things.ts': THINGS.replace("path: '/wait'", "path: '/:other'"),
      },
      /^error RESOURCE_INVALID: .*things\.retrieve/,
    ],
    [
      {
        'src/service.ts': `
          async function attach(app) {
            app.addHook('onClose', async () => console.error('closed'))
            setInterval(() => {}, 1000).unref()
            throw new Error('it is away')
          }
          export default { name: 'shop', modules: {}, plugins: [attach] }`,
      },
      /^closed\nError: it is away\n {4}at attach .*service\.ts/,
    ],
  ]
  for (const [files, pattern] of broken) {
    const service = writeService(t, files)
    const port = await freePort()
    const { code, stdout, stderr } = await manage(t, ['serve', '--port', String(port)], {
      service,
      env: BARE,
    })
    t.same({ code, stdout }, { code: 1, stdout: '' })
    t.match(stderr.trimEnd(), pattern)
    t.notOk(await isListening(port))
  }
})

t.test('a MySQL that is away: DATABASE_UNAVAILABLE within the timeout, no password', async (t) => {
  const service = writeService(t)
  const silent = await occupy(t)
  for (const port of [silent, await freePort()]) {
    const began = performance.now()
    const { code, stdout, stderr } = await manage(t, ['serve', '-p', '0'], {
      service,
      env: {
        DATABASE_URL: `mysql://joe:hunter2@127.0.0.1:${port}/shop`,
        DATABASE_CONNECT_TIMEOUT: '1000',
      },
    })
    t.same({ code, stdout }, { code: 1, stdout: '' })
    t.match(stderr, /^error DATABASE_UNAVAILABLE: The database cannot be used right now: .+\n$/)
    t.match(stderr, `127.0.0.1:${port}`)
    t.notMatch(stderr, 'hunter2')
    t.ok(performance.now() - began < 60_000)
  }
})
