import { join } from 'node:path'
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

t.test('makes schedules at run time, changes them, and removes them', async (t) => {
  const jobs = await createJobs(t)
  const DATABASE_URL = `sqlite:${join(jobs.service, 'jobs.db')}`
  const run = (...args: string[]) => jobs.runIn({ DATABASE_URL }, 'schedule', ...args)
  const list = async () => JSON.parse((await run('list', '--json')).stdout)
  const input = JSON.stringify({ text: 'for ann' })
  const wanted = ['--resource', 'jobs.print', '--cron', '0 7 1 1 *', '--input', input]
  const set = await run('set', 'report:ann', ...wanted, '--timezone', 'Asia/Shanghai')
  t.strictSame([set.code, set.stderr], [0, ''])
  t.match(set.stdout, /^set report:ann: jobs\.print next at \d{4}-12-31T23:00:00\.000Z\n$/)
  const made = { name: 'report:ann', resource: 'jobs.print', cron: '0 7 1 1 *' }
  t.match(await list(), [{ name: 'jobs.print' }, { ...made, timezone: 'Asia/Shanghai' }])
  const ran = await run('run', 'report:ann')
  t.match(await jobs.app.tasks.find(ran.stdout.trim()), { data: { input: { text: 'for ann' } } })

  const changed = await run('set', 'report:ann', ...wanted, '--jitter', '30s', '--json')
  t.match(JSON.parse(changed.stdout), { ...made, timezone: 'UTC', paused: false })

  const production = { DATABASE_URL, NODE_ENV: 'production' }
  const refused = await jobs.runIn(production, 'schedule', 'set', 'report:ann', ...wanted)
  t.equal(refused.code, 1)
  t.match(refused.stderr, /PRODUCTION_REFUSED/)
  const another = await jobs.runIn(production, 'schedule', 'set', 'report:bob', ...wanted)
  t.equal(another.code, 0, another.stderr)
  const forced = await jobs.runIn(production, 'schedule', 'set', 'report:ann', ...wanted, '--force')
  t.equal(forced.code, 0, forced.stderr)

  for (const args of [
    ['remove', 'report:ann'],
    ['remove', 'report:ann', '--yes'],
  ]) {
    const kept = await jobs.runIn(production, 'schedule', ...args)
    t.equal(kept.code, 1)
    t.match(kept.stderr, /PRODUCTION_REFUSED/)
  }
  const removed = await jobs.runIn(
    production,
    'schedule',
    'remove',
    'report:ann',
    '--yes',
    '--force',
  )
  t.strictSame([removed.code, removed.stdout], [0, 'removed report:ann\n'])
  const gone = await run('remove', 'report:ann', '--yes')
  t.equal(gone.code, 1)
  t.match(gone.stderr, 'There is no schedule made at run time report:ann')
  t.strictSame(JSON.parse((await run('remove', 'report:bob', '--yes', '--json')).stdout), {
    removed: 'report:bob',
  })
  t.match(await list(), [{ name: 'jobs.print' }])
})

t.test('what cannot be a schedule is refused, and nothing is kept', async (t) => {
  const jobs = await createJobs(t)
  const DATABASE_URL = `sqlite:${join(jobs.service, 'jobs.db')}`
  const set = (...args: string[]) => jobs.runIn({ DATABASE_URL }, 'schedule', 'set', ...args)
  const daily = ['--cron', '0 7 * * *']
  const print = ['--resource', 'jobs.print', '--input', '{"text":"a"}']
  const cases: [code: number, problem: RegExp, args: string[]][] = [
    [2, /flag cron/, ['a', ...print]],
    [2, /flag resource/, ['a', ...daily]],
    [2, /--input is not JSON/, ['a', '--resource', 'jobs.print', ...daily, '--input', '{']],
    [2, /--missed/, ['a', ...print, ...daily, '--missed', 'all']],
    [1, /SCHEDULE_INVALID.*cron is "every day"/, ['a', ...print, '--cron', 'every day']],
    [1, /SCHEDULE_INVALID.*jitter is soon/, ['a', ...print, ...daily, '--jitter', 'soon']],
    [1, /SCHEDULE_INVALID.*the service itself has one/, ['jobs.print', ...print, ...daily]],
    [1, /SCHEDULE_INVALID.*its name is "a b"/, ['a b', ...print, ...daily]],
    [1, /RESOURCE_UNKNOWN/, ['a', '--resource', 'jobs.none', ...daily]],
    [1, /INVALID_REQUEST/, ['a', '--resource', 'jobs.print', ...daily]],
  ]
  for (const [code, problem, args] of cases) {
    const told = await set(...args)
    t.equal(told.code, code, args.join(' '))
    t.match(told.stderr, problem, args.join(' '))
  }
  const production = { NODE_ENV: 'production' }
  const without = await jobs.runIn(production, 'schedule', 'set', 'a', ...print, ...daily)
  t.equal(without.code, 1)
  t.match(without.stderr, /DATABASE_MISSING/)
  const { stdout } = await jobs.runIn({ DATABASE_URL }, 'schedule', 'list', '--json')
  t.match(JSON.parse(stdout), [{ name: 'jobs.print' }])
})
