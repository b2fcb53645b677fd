import t, { type Test } from 'tap'
import { type Attached, attach } from './attach.ts'
import { SetupError, untilReady } from './ready.ts'
import { Sandbox } from './sandbox.ts'

function sandboxFor(t: Test): Sandbox {
  const sandbox = new Sandbox()
  t.teardown(() => sandbox.close())
  return sandbox
}

const broker: Attached = {
  title: 'Broker',
  variable: 'TEST_BROKER_URL',
  example: 'broker://127.0.0.1:1234',
  programs: ['plinth-brokerd', 'plinth-broker'],
  package: 'plinth-broker',
  async check(url) {
    if (!url.startsWith('broker:')) throw new Error('this is no broker')
  },
  start: async (program) => `broker://${program}`,
}

function setBrokerUrl(t: Test, url: string): void {
  process.env.TEST_BROKER_URL = url
  t.capture(process.stderr, 'write')
  t.teardown(() => delete process.env.TEST_BROKER_URL)
}

t.test('takes the value of a variable that is set', async (t) => {
  setBrokerUrl(t, 'broker://example:1')
  t.same(await attach([broker], sandboxFor(t)), { TEST_BROKER_URL: 'broker://example:1' })
})

t.test('refuses a variable that leads nowhere', async (t) => {
  setBrokerUrl(t, 'http://user:secret@example')
  const message =
    'Broker cannot be reached by TEST_BROKER_URL (this is no broker): start it, correct the variable ' +
    '(it should look like broker://127.0.0.1:1234), or unset it for a private one'
  await t.rejects(attach([broker], sandboxFor(t)), new SetupError(message))
})

t.test('starts the first program that is installed', async (t) => {
  const shell = { ...broker, programs: ['plinth-brokerd', 'sh'] }
  t.match(await attach([shell], sandboxFor(t)), { TEST_BROKER_URL: /^broker:\/\/\/.*\/sh$/ })
})

t.test('says what to install and what to set, for all that is missing', async (t) => {
  const second = { ...broker, title: 'Store', variable: 'TEST_STORE_URL', package: 'plinth-store' }
  const message =
    'Broker is missing (no plinth-brokerd, plinth-broker): install it (on Debian: apt-get install plinth-broker), ' +
    'or set TEST_BROKER_URL, for example TEST_BROKER_URL=broker://127.0.0.1:1234\n' +
    'Store is missing (no plinth-brokerd, plinth-broker): install it (on Debian: apt-get install plinth-store), ' +
    'or set TEST_STORE_URL, for example TEST_STORE_URL=broker://127.0.0.1:1234'
  await t.rejects(attach([broker, second], sandboxFor(t), false), new SetupError(message))
})

t.test('shows the log of a server that ends at its start', async (t) => {
  const script = 'seq 1 30; echo the disk is full >&2; exit 3'
  const server = sandboxFor(t).spawnLogged('broker', 'sh', ['-c', script])
  const lines = Array.from({ length: 19 }, (_, i) => `  ${i + 12}\n`).join('')
  const message = `Broker 1.0 ended at its start; its log ends:\n${lines}  the disk is full`
  await t.rejects(untilReady('Broker 1.0', server, refuse), new SetupError(message))
})

t.test('gives up on a server that does not get ready', async (t) => {
  const server = sandboxFor(t).spawnLogged('broker', 'sleep', ['60'])
  const message = 'Broker 1.0 was not ready after 0.1 s; its log ends:\n  '
  await t.rejects(untilReady('Broker 1.0', server, refuse, 0.1), new SetupError(message))
  t.equal(server.process.exitCode, null)
})

const refuse = () => Promise.reject(new Error('connection refused'))
