import t from 'tap'
import { createJobs } from './task-service.ts'

t.test('lists, runs, pauses and resumes schedules', async (t) => {
  const jobs = await createJobs(t)
  const list = async () => JSON.parse((await jobs.run('schedule', 'list', '--json')).stdout)
  const [schedule, ...rest] = await list()
  t.strictSame(rest, [])
  const { next, ...told } = schedule
  const known = {
    name: 'jobs.print',
    resource: 'jobs.print',
    cron: '0 3 1 1 *',
    timezone: 'UTC',
    last: null,
  }
  t.strictSame(told, { ...known, paused: false })
  t.match(next, /^\d{4}-01-01T03:00:00\.000Z$/)
  t.ok(Date.parse(next) > Date.now())
  t.match(
    (await jobs.run('schedule', 'list')).stdout,
    /^schedule +cron[\s\S]*jobs\.print +0 3 1 1 \* +UTC/,
  )

  const paused = await jobs.run('schedule', 'pause', 'jobs.print')
  t.strictSame([paused.code, paused.stdout], [0, 'paused jobs.print\n'])
  t.match(await list(), [{ paused: true, next }])

  const ran = await jobs.run('schedule', 'run', 'jobs.print')
  t.equal(ran.code, 0)
  const id = ran.stdout.trim()
  t.match(await jobs.app.tasks.find(id), {
    state: 'waiting',
    data: { resource: 'jobs.print', input: { text: 'nightly' }, user: null },
  })
  await jobs.app.tasks.work({ queues: ['default'], concurrency: 1, schedules: false })
  t.equal(await jobs.app.tasks.result(id), 'nightly')

  const resumed = await jobs.run('schedule', 'resume', 'jobs.print')
  t.strictSame([resumed.code, resumed.stdout], [0, 'resumed jobs.print\n'])
  t.match(await list(), [{ paused: false, next }])
})

t.test('a schedule that is none is told', async (t) => {
  const jobs = await createJobs(t)
  for (const command of ['run', 'pause', 'resume']) {
    const { code, stderr } = await jobs.run('schedule', command, 'jobs.wait')
    t.equal(code, 1)
    t.match(stderr, 'There is no schedule jobs.wait')
  }
  t.equal((await jobs.run('schedule', 'run')).code, 2)
})
