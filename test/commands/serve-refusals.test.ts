import { writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { migration } from '../database/fixture.ts'
import { MANAGE, startManage, startServe } from '../helpers/manage.ts'
import { occupy, poll } from '../helpers/network.ts'
import { BARE, THINGS, writeService } from '../helpers/service.ts'

// What the machine refuses, and signals that come at a bad time.

const ENV = { ...BARE, REDIS_URL: undefined }

/** The program for a process that has so much of something: `ulimit`. */
const limited = (limit: string) => [
  '/bin/sh',
  '-c',
  `ulimit ${limit}; exec "$0" "$@"`,
  process.execPath,
  MANAGE,
]

const NOTES = `
import { defineModule, defineResource, Type } from 'plinth'
import { sql } from 'plinth/sql'

const add = defineResource({
  summary: 'Add a long note',
  method: 'POST',
  async perform(_, { db }) {
    await sql\`create table if not exists note (text text)\`.execute(db)
    await sql\`insert into note values (\${'x'.repeat(100_000)})\`.execute(db)
    return null
  },
})

const count = defineResource({
  summary: 'How many there are',
  response: Type.Integer(),
  async perform(_, { db }) {
    const { rows } = await sql\`select count(*) as notes from note where length(text) = 100000\`.execute(db)
    return rows[0].notes
  },
})

export const things = defineModule({ prefix: '/things', resources: { add, count } })
`

t.test(
  'a full disk under SQLite: 503, what was written stays, and the process serves',
  async (t) => {
    const service = writeService(t, { 'src/things.ts': NOTES })
    const env = { ...ENV, DATABASE_URL: `sqlite:${join(service, 'notes.db')}` }
    // No file of it may be larger than about two megabytes.
    const program = limited('-f 4000')
    const { url, process: child, ended } = await startServe(t, { service, env, program })
    const add = async () => (await fetch(`${url}/things`, { method: 'POST' })).status
    let added = 0
    while (added < 1000 && (await add()) === 200) added++
    t.ok(added > 1 && added < 1000)
    const refused = await fetch(`${url}/things`, { method: 'POST' })
    t.equal(refused.status, 503)
    t.match((await refused.json()) as object, { message: /disk is full/ })
    t.match(await (await fetch(`${url}/things`)).json(), { data: added })
    child.kill('SIGTERM')
    t.match(await ended, { code: 0, signal: null })
  },
)

for (const more of [[], ['--workers', '1'], ['--workers', '2']]) {
  t.test(`out of descriptors (${more.join(' ') || 'one process'}): it serves again`, async (t) => {
    const args = ['--port', '0', ...more]
    const program = limited('-n 60')
    const running = await startServe(t, { service: writeService(t), env: ENV, program, args })
    const port = Number(new URL(running.url).port)
    const sockets = Array.from({ length: 200 }, () => connect(port, '127.0.0.1'))
    const ends = await Promise.all(sockets.map(endOf))
    const kinds = [...new Set(ends)].sort()
    t.strictSame(kinds, ['answered', 'closed'], 'not enough, and none waits', { ...running.said })
    for (const socket of sockets) socket.destroy()
    await poll(async () => (await fetch(`${running.url}/things`)).ok)
    running.process.kill('SIGTERM')
    t.match(await running.ended, { code: 0, signal: null })
  })
}

const UNREADABLE = `
import { registerHooks } from 'node:module'
import { defineService } from 'plinth'
import { things } from './things.ts'

let refuses = false
registerHooks({
  load(url, context, next) {
    if (refuses && url.startsWith('file:')) throw Object.assign(new Error('too many open files'), { code: 'EMFILE' })
    return next(url, context)
  },
})
async function refusing(app) {
  app.addHook('onListen', async () => { refuses = true })
  app.get('/read-again', async () => { refuses = false })
}
export default defineService({ name: 'shop', modules: { things }, plugins: [refusing] })`

const TICKING = `
import { defineModule, defineResource } from 'plinth'

const tick = defineResource({
  summary: 'Tick',
  method: 'POST',
  schedule: '* * * * * *',
  perform(_, { log }) {
    log.info('ticked')
    return null
  },
})

export const things = defineModule({ prefix: '/things', resources: { tick } })`

t.test('what cannot be read when it is needed first is read the next time', async (t) => {
  const service = writeService(t, { 'src/service.ts': UNREADABLE, 'src/things.ts': TICKING })
  const DATABASE_URL = `sqlite:${join(service, 'shop.db')}`
  const running = await startServe(t, { service, env: { ...ENV, DATABASE_URL } })
  const document = async () => (await fetch(`${running.url}/openapi.json`)).status
  await running.until('stdout', /"msg":"No tasks are worked on by this server: it is tried again/)
  t.equal(await document(), 500)
  await fetch(`${running.url}/read-again`)
  t.equal(await document(), 200)
  await running.until('stdout', /"msg":"ticked"/)
  running.process.kill('SIGTERM')
  t.match(await running.ended, { code: 0, signal: null, stderr: '' })
})

/** What becomes of a request: answered, its connection closed by the other side, or neither for 20 s. */
function endOf(socket: Socket): Promise<'answered' | 'closed' | 'waits'> {
  return new Promise((resolve) => {
    socket.once('error', () => resolve('closed')).once('end', () => resolve('closed'))
    socket.once('data', () => resolve('answered'))
    socket.setTimeout(60_000, () => resolve('waits'))
    socket.write('GET /ping HTTP/1.1\r\nHost: x\r\n\r\n')
  })
}

t.test('a port in use: several processes do not start either', async (t) => {
  const port = await occupy(t)
  const args = ['serve', '--workers', '2', '--port', `${port}`]
  const { ended } = startManage(t, args, { service: writeService(t), env: ENV })
  const { code, stderr, stdout } = await ended
  t.equal(code, 1)
  t.match(stderr, `error PORT_IN_USE: 127.0.0.1:${port} is already in use`)
  t.match(stdout, 'the processes do not start')
})

const SLOW_BOOT = `
import { defineService } from 'plinth'
import { things } from './things.ts'
async function slow(app) {
  app.log.info('booting')
  await new Promise((resolve) => setTimeout(resolve, 60_000))
}
export default defineService({ name: 'shop', modules: { things }, plugins: [slow] })`

for (const [more, ending] of [
  [[], { code: null, signal: 'SIGTERM' }],
  [['--workers', '2'], { code: 0, signal: null }],
] as const) {
  t.test(
    `SIGTERM while it boots (${more.join(' ') || 'one process'}): it ends at once`,
    async (t) => {
      const service = writeService(t, { 'src/service.ts': SLOW_BOOT })
      const running = startManage(t, ['serve', '--port', '0', ...more], { service, env: ENV })
      await running.until('stdout', /"msg":"booting"/)
      running.process.kill('SIGTERM')
      t.match(await running.ended, { ...ending, stderr: '' })
      t.throws(() => process.kill(-(running.process.pid as number), 0), { code: 'ESRCH' })
    },
  )
}

t.test('SIGTERM during a migration: it is applied by the next one', async (t) => {
  const gate = join(t.testdirName, 'gate')
  const text = migration(`m.runData({ up: async () => {
    console.error('begun')
    const { existsSync } = await import('node:fs')
    while (!existsSync(${JSON.stringify(gate)})) await new Promise((resolve) => setTimeout(resolve, 20))
  } })`)
  const service = writeService(t, { 'migrations/0001_slow.ts': text })
  const env = { ...ENV, DATABASE_URL: `sqlite:${join(service, 'shop.db')}` }
  const first = startManage(t, ['migrate'], { service, env })
  await first.until('stderr', /begun/)
  first.process.kill('SIGTERM')
  t.match(await first.ended, { code: null, signal: 'SIGTERM' })
  writeFileSync(gate, '')
  const second = await startManage(t, ['migrate'], { service, env }).ended
  t.match(second, { code: 0, stdout: /applied 0001_slow/ })
})

/** Two processes, of a service that can be changed. */
async function startGroup(t: Test) {
  const service = writeService(t)
  const args = ['--port', '0', '--workers', '2']
  const group = await startServe(t, { service, env: ENV, args })
  await group.until('stdout', /"workers":2,.*"msg":"serving"/)
  return { ...group, service }
}

t.test(
  'SIGHUP with a variable that is nonsense: it is named, and the old ones serve',
  async (t) => {
    const group = await startGroup(t)
    writeFileSync(join(group.service, '.env'), 'DRAIN_DELAY=soon\n')
    group.process.kill('SIGHUP')
    await group.until('stdout', /"msg":"a new process does not start: those that serve stay"/)
    await group.until('stderr', /error CONFIG_INVALID: .*\n +DRAIN_DELAY: /)
    t.ok((await fetch(`${group.url}/things`)).ok)
    writeFileSync(join(group.service, '.env'), 'DRAIN_DELAY=0\n')
    group.process.kill('SIGHUP')
    await group.until('stdout', /"msg":"the processes are replaced"/)
    group.process.kill('SIGTERM')
    t.match(await group.ended, { code: 0 })
  },
)

t.test('what dies and does not start any more is tried less and less; none left: 1', async (t) => {
  const group = await startGroup(t)
  writeFileSync(join(group.service, 'src/things.ts'), `throw new Error('not today')\n${THINGS}`)
  group.process.kill('SIGUSR2')
  const [line] = await group.until('stdout', /.*"msg":"state".*/)
  const [first, second] = JSON.parse(line).workers
  process.kill(first.pid, 'SIGKILL')
  await group.until('stdout', /"attempts":\d+,"msg":"a process does not start"/)
  t.ok((await fetch(`${group.url}/things`)).ok, 'the other one serves')
  process.kill(second.pid, 'SIGKILL')
  const { code, stderr } = await group.ended
  t.equal(code, 1)
  t.match(stderr, 'not today')
})
