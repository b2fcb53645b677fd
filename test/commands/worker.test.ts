import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { logLines, manage } from '../helpers/manage.ts'
import { BARE, writeService } from '../helpers/service.ts'
import { createJobs } from './task-service.ts'

t.test('runs tasks, and ends on SIGTERM when those that run are done', async (t) => {
  const jobs = await createJobs(t)
  const GATE = join(jobs.service, 'gate')
  const worker = jobs.start({ GATE }, 'worker')
  const printed = await jobs.enqueue('print', { text: 'hello' })
  t.equal(await jobs.app.tasks.result(printed), 'hello')
  const waiting = await jobs.enqueue('wait')
  await worker.until('stdout', /"begun"/)
  worker.process.kill('SIGTERM')
  await worker.until('stdout', /the process ends/)
  const late = await jobs.enqueue('print', { text: 'late' })
  writeFileSync(GATE, '')
  t.equal(await jobs.app.tasks.result(waiting), 'waited')
  const { code, signal, stdout } = await worker.ended
  t.strictSame([code, signal], [0, null])
  t.equal((await jobs.app.tasks.status(late)).state, 'waiting')
  const lines = logLines(stdout)
  const line = lines.find(({ msg }) => msg === 'printed hello')
  t.match(line, { task_id: printed, resource: 'jobs.print', request_id: /./ })
  t.ok(lines.some(({ msg }) => msg === 'task done'))
})

t.test('what is not done in time is handed back, and another worker does it', async (t) => {
  const jobs = await createJobs(t)
  const GATE = join(jobs.service, 'gate')
  const first = jobs.start({ GATE, SHUTDOWN_TIMEOUT: '20000' }, 'worker')
  const id = await jobs.enqueue('wait')
  await first.until('stdout', /"begun"/)
  first.process.kill('SIGTERM')
  const { code, stdout } = await first.ended
  t.equal(code, 0)
  t.match(
    logLines(stdout).find(({ msg }) => msg === 'tasks are handed back to run elsewhere'),
    { tasks: 1 },
  )
  t.match(await jobs.app.tasks.find(id), { attempts_made: 0, failure: null })
  writeFileSync(GATE, '')
  const second = jobs.start({ GATE }, 'worker')
  t.equal(await jobs.app.tasks.result(id), 'waited')
  second.process.kill('SIGINT')
  t.equal((await second.ended).code, 0)
})

t.test('a second signal ends it at once: the log says which tasks are left', async (t) => {
  const jobs = await createJobs(t)
  const GATE = join(jobs.service, 'gate')
  const first = jobs.start({ GATE }, 'worker')
  const id = await jobs.enqueue('wait')
  await first.until('stdout', /"begun"/)
  first.process.kill('SIGTERM')
  await first.until('stdout', /the process ends/)
  first.process.kill('SIGTERM')
  const { code, stdout } = await first.ended
  t.equal(code, 1)
  const left = { requests: 0, tasks: 1, names: [`jobs.wait ${id}`] }
  t.match(logLines(stdout).at(-1), { msg: 'second SIGTERM, exiting', left })
})

t.test('works on the queues that are named', async (t) => {
  const jobs = await createJobs(t)
  const worker = jobs.start({}, 'worker', '--queues', 'mail, news', '--concurrency', '2')
  const other = await jobs.enqueue('print', { text: 'x' })
  const mail = await jobs.enqueue('print', { text: 'a' }, { queue: 'mail' })
  const news = await jobs.enqueue('print', { text: 'b' }, { queue: 'news' })
  const { tasks } = jobs.app
  t.strictSame([await tasks.result(mail), await tasks.result(news)], ['a', 'b'])
  t.equal((await tasks.status(other)).state, 'waiting')
  worker.process.kill('SIGTERM')
  t.equal((await worker.ended).code, 0)
})

t.test('works on every queue of the service where none is named', async (t) => {
  const jobs = await createJobs(t)
  const worker = jobs.start({}, 'worker')
  const queues = ['default', 'mail', 'news']
  const ids = await Promise.all(
    queues.map((queue) => jobs.enqueue('print', { text: queue }, { queue })),
  )
  const { tasks } = jobs.app
  t.strictSame(await Promise.all(ids.map((id) => tasks.result(id))), queues)
  worker.process.kill('SIGTERM')
  const { code, stdout } = await worker.ended
  t.equal(code, 0)
  t.match(
    logLines(stdout).find(({ msg }) => msg === 'working on tasks'),
    { queues },
  )
})

t.test('a queue that the service does not have is wrong usage', async (t) => {
  const jobs = await createJobs(t)
  const { code, stderr } = await jobs.run('worker', '--queues', 'mail,mial')
  t.equal(code, 2)
  t.match(stderr.replaceAll(/[\s›]+/g, ' '), /no queue "mial"; there are "default", "mail", "news"/)
})

t.test('what cannot be is told', async (t) => {
  const service = writeService(t)
  const wrong = await manage(t, ['worker', '--concurrency', '0'], { service })
  t.equal(wrong.code, 2)
  const without = await manage(t, ['worker'], { service, env: { ...BARE, REDIS_URL: '' } })
  t.equal(without.code, 1)
  t.match(without.stderr, /REDIS_MISSING/)
})

const STUCK = `
import { defineModule, defineResource, defineService } from 'plinth'
import tasks from 'plinth/plugins/tasks'

const hang = defineResource({
  summary: 'Hang',
  method: 'POST',
  task: { timeout: 20, attempts: 1 },
  perform: () => new Promise(() => {}),
})
const wait = defineResource({
  summary: 'Wait',
  method: 'POST',
  path: '/wait',
  async perform(_, { log, signal }) {
    log.info('begun')
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    return null
  },
})

export default defineService({
  name: 'NAME',
  plugins: [tasks({ abortGrace: 20, stopTimeout: 1000 })],
  modules: { jobs: defineModule({ prefix: '/jobs', resources: { hang, wait } }) },
})
`

t.test('ends to be started anew where too many tasks go on after their time', async (t) => {
  const jobs = await createJobs(t, STUCK)
  const worker = jobs.start({ TASK_MAX_STUCK: '3' }, 'worker')
  const waiting = await jobs.enqueue('wait')
  await worker.until('stdout', /"begun"/)
  const hung = [await jobs.enqueue('hang'), await jobs.enqueue('hang')]
  for (const id of hung) await t.rejects(jobs.app.tasks.result(id), { code: 'TASK_FAILED' })
  t.equal(worker.process.exitCode, null, 'some it bears')
  await jobs.enqueue('hang')
  const { code, stdout } = await worker.ended
  t.equal(code, 1)
  t.match(
    logLines(stdout).find(({ msg }) => /^too many tasks go on/.test(`${msg}`)),
    { level: 'fatal', tasks: 3 },
  )
  t.match(await jobs.app.tasks.find(waiting), { state: 'waiting', attempts_made: 0 }, 'handed back')
})
