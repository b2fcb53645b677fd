import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { logLines, manage, startServe } from '../helpers/manage.ts'
import { poll } from '../helpers/network.ts'
import { writeService } from '../helpers/service.ts'

/** Tasks that hear of nothing, and that end when they are handed back; a request that waits until the file GATE is there. */
const SERVICE = `
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineModule, defineResource, defineService, Type } from 'plinth'
import tasks from 'plinth/plugins/tasks'

const hang = defineResource({
  summary: 'Hang',
  method: 'POST',
  path: '/hang',
  async: true,
  task: { timeout: 20, attempts: 1 },
  perform: () => new Promise(() => {}),
})
const rest = defineResource({
  summary: 'Rest',
  method: 'POST',
  path: '/rest',
  async: true,
  perform: (_, { signal }) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
})
const tell = defineResource({
  summary: 'Who answers',
  path: '/tell',
  response: Type.Integer(),
  perform: () => process.pid,
})
const wait = defineResource({
  summary: 'Wait',
  path: '/wait',
  response: Type.Integer(),
  async perform(_, { log }) {
    log.info('waiting')
    while (!existsSync(process.env.GATE)) await sleep(20)
    return process.pid
  },
})

export default defineService({
  name: 'shop',
  plugins: [tasks({ abortGrace: 20, stopTimeout: 1000 })],
  modules: { jobs: defineModule({ prefix: '/jobs', resources: { hang, rest, tell, wait } }) },
})
`

/** A server that works on tasks, and that bears two that hang. */
async function start(t: Test, variables: Record<string, string>, ...args: string[]) {
  const service = writeService(t, { 'src/service.ts': SERVICE })
  const GATE = join(service, 'gate')
  const env = { GATE, TASK_MAX_STUCK: '3', ...variables }
  const server = await startServe(t, { service, env, args: ['--port', '0', ...args] })
  const get = async (path: string) => {
    const { status, headers, body } = await ask(server.url + path)
    return { status, data: body.data, closes: headers.get('connection') === 'close' }
  }
  const enqueue = async (name: string): Promise<string> => {
    const headers = { 'x-async-task': 'true' }
    const { body } = await ask(`${server.url}/jobs/${name}`, { method: 'POST', headers })
    return body.data.task_id
  }
  const hang = async (count: number) => {
    const ids = await Promise.all(Array.from({ length: count }, () => enqueue('hang')))
    for (const id of ids)
      await poll(async () => (await get(`/tasks/${id}`)).data.state === 'failed')
  }
  const show = async (id: string) => {
    const { stdout } = await manage(t, ['tasks', 'show', id, '--json'], { service, env })
    return JSON.parse(stdout)
  }
  return { ...server, get, enqueue, hang, show, open: () => writeFileSync(GATE, '') }
}

async function ask(url: string, init: RequestInit = {}) {
  const answer = await fetch(url, init)
  const { status, headers } = answer
  return { status, headers, body: JSON.parse(await answer.text()) }
}

const DATABASE = { DATABASE_URL: 'sqlite:./shop.db' }

t.test('ends as at SIGTERM where too many tasks go on after their time', async (t) => {
  const server = await start(t, { ...DATABASE, DRAIN_DELAY: '10000' })
  const resting = await server.enqueue('rest')
  await poll(async () => (await server.get(`/tasks/${resting}`)).data.state === 'running')
  await server.hang(2)
  const late = server.get('/jobs/wait')
  await server.until('stdout', /"msg":"waiting"/)
  t.equal((await server.get('/readyz')).status, 200, 'some it bears')
  await server.enqueue('hang')
  await server.until('stdout', /"msg":"the process ends"/)
  t.equal((await server.get('/readyz')).status, 503)
  t.match(await server.get('/jobs/tell'), { status: 200, data: server.process.pid, closes: true })
  server.open()
  t.match(await late, { status: 200, data: server.process.pid })
  const { code, signal, stdout, stderr } = await server.ended
  t.same({ code, signal, stderr }, { code: 1, signal: null, stderr: '' })
  const lines = logLines(stdout)
  const fatal = lines.filter(({ level }) => level === 'fatal')
  t.match(fatal, [{ tasks: 3, msg: /^too many tasks go on.*: the process ends$/ }])
  t.ok(lines.some(({ msg, tasks }) => /handed back/.test(`${msg}`) && tasks === 1))
  t.match(await server.show(resting), { state: 'waiting', attempts_made: 0, failure: null })
})

t.test('of several processes another takes the place of that one first', async (t) => {
  const server = await start(t, DATABASE, '--workers', '1')
  const before = (await server.get('/jobs/tell')).data
  await server.hang(2)
  await server.enqueue('hang')
  const pids = new Set<unknown>()
  await poll(async () => {
    const { status, data } = await server.get('/jobs/tell')
    t.equal(status, 200)
    pids.add(data)
    return pids.size === 2
  })
  t.ok(pids.has(before))
  await server.until('stdout', /"msg":"the process is replaced"/)
  server.process.kill('SIGTERM')
  const { code, stdout } = await server.ended
  t.equal(code, 0)
  t.notMatch(stdout, /a process has died/)
})

t.test('with tasks in its memory it goes on, and says so once', async (t) => {
  const server = await start(t, { DATABASE_URL: 'sqlite::memory:' })
  await server.hang(4)
  t.match(await server.get('/jobs/tell'), { status: 200, closes: false })
  server.process.kill('SIGTERM')
  const { code, stdout } = await server.ended
  t.equal(code, 0)
  const told = logLines(stdout).filter(({ msg }) => /^too many tasks go on/.test(`${msg}`))
  t.match(told, [{ level: 'error', tasks: 3, msg: /start the process anew/ }])
})
