import t from 'tap'
import { newTaskId } from '../../src/task/id.ts'
import type { TaskTree } from '../../src/task/types.ts'
import { manage } from '../helpers/manage.ts'
import { BARE, writeService } from '../helpers/service.ts'
import { task, tree, until } from '../suites/task-fixture.ts'
import { createJobs } from './task-service.ts'

t.test('lists, shows, runs again, cancels, removes and counts tasks', async (t) => {
  const jobs = await createJobs(t)
  const { tasks } = jobs.app
  t.match(await jobs.run('tasks', 'stats'), { code: 0, stdout: 'there are no tasks\n' })
  const working = await tasks.work({ queues: ['default'], concurrency: 2, schedules: false })
  const failed = await jobs.enqueue('fail')
  await t.rejects(tasks.result(failed), { code: 'TASK_FAILED' })
  const printed = await jobs.enqueue('print', { text: 'secret' })
  await tasks.result(printed)
  await working.stop(1000)
  const later = await jobs.enqueue('print', { text: 'b' }, { queue: 'mail', delay: 3_600_000 })

  const list = await jobs.run('tasks', 'list')
  t.equal(list.code, 0)
  t.match(list.stdout, `${failed}  failed  jobs.fail  1/1`)
  t.notMatch(list.stdout, printed)
  const delayed = await jobs.run('tasks', 'list', '--state', 'delayed', '--queue', 'mail', '--json')
  t.match(JSON.parse(delayed.stdout), [{ id: later, state: 'delayed', queue: 'mail' }])
  const none = await jobs.run('tasks', 'list', '--state', 'running')
  t.strictSame([none.code, none.stdout, none.stderr], [0, '', 'no task is running\n'])
  t.equal((await jobs.run('tasks', 'list', '--state', 'gone')).code, 2)

  const shown = JSON.parse((await jobs.run('tasks', 'show', failed)).stdout)
  t.match(shown, {
    id: failed,
    data: { resource: 'jobs.fail', user: null },
    failure: { code: 'CONFLICT', message: 'out of paper' },
  })
  t.strictSame(JSON.parse((await jobs.run('tasks', 'show', failed, '--json')).stdout), shown)

  const stats = JSON.parse((await jobs.run('tasks', 'stats', '--json')).stdout)
  const empty = { waiting: 0, delayed: 0, running: 0, succeeded: 0, failed: 0, crashed: 0 }
  const zero = { ...empty, paused: false }
  const { latency } = stats.default
  t.ok(latency >= 0 && latency < 600, 'how long it has waited, in seconds')
  t.strictSame(stats, {
    default: { ...zero, succeeded: 1, failed: 1, oldest: null, latency },
    mail: { ...zero, delayed: 1, oldest: null, latency: null },
  })
  t.match((await jobs.run('tasks', 'stats')).stdout, /^queue +waiting +delayed .* oldest +latency/)

  const retried = await jobs.run('tasks', 'retry', failed)
  t.strictSame([retried.code, retried.stdout], [0, 'put back 1 of 1\n'])
  t.equal((await tasks.status(failed)).state, 'waiting')
  const not = await jobs.run('tasks', 'retry', printed)
  t.strictSame([not.code, not.stdout], [1, 'put back 0 of 1\n'])
  t.match(not.stderr, 'is succeeded')

  const cancelled = await jobs.run('tasks', 'cancel', failed)
  t.strictSame([cancelled.code, cancelled.stdout], [0, `cancelled ${failed}\n`])
  t.equal((await tasks.status(failed)).state, 'cancelled')
  t.match((await jobs.run('tasks', 'cancel', printed)).stdout, `${printed} had ended: succeeded`)

  const removed = await jobs.run('tasks', 'remove', later, printed, '--yes', '--json')
  t.strictSame([removed.code, JSON.parse(removed.stdout)], [0, { removed: 2 }])
  await t.rejects(tasks.find(later), { code: 'TASK_NOT_FOUND' })
})

t.test('shows the tree of a flow', async (t) => {
  const jobs = await createJobs(t)
  const driver = await jobs.app.tasks.driver()
  const of = (resource: string, children: TaskTree[] = []) => tree(task({ resource }), children)
  const flow = of('jobs.sum', [of('jobs.inner', [of('jobs.leaf')]), of('jobs.last')])
  await driver.addTree(flow)
  const [inner, last] = flow.children.map(({ id }) => id)
  await driver.cancel(last as string)
  const { stdout } = await jobs.run('tasks', 'show', flow.id)
  const told = `jobs.sum waiting ${flow.id}`
  const lines = stdout.slice(stdout.indexOf(told)).trimEnd().split('\n')
  t.match(lines, [
    told,
    `├─ jobs.inner waiting ${inner}`,
    `│  └─ jobs.leaf waiting ${flow.children[0]?.children[0]?.id}`,
    `└─ jobs.last cancelled ${last}: `,
  ])
  const json = JSON.parse((await jobs.run('tasks', 'show', flow.id, '--json')).stdout)
  t.match(json, {
    id: flow.id,
    tree: [
      { id: inner, tree: [{}] },
      { id: last, state: 'cancelled' },
    ],
  })
})

t.test('pauses queues and resumes them', async (t) => {
  const jobs = await createJobs(t)
  const { tasks } = jobs.app
  const paused = await jobs.run('tasks', 'pause', 'mail', 'default')
  t.strictSame([paused.code, paused.stdout], [0, 'paused mail, default\n'])
  const working = await tasks.work({
    queues: ['default', 'mail', 'news'],
    concurrency: 2,
    schedules: false,
  })
  const waits = await jobs.enqueue('print', { text: 'a' }, { queue: 'mail' })
  await tasks.result(await jobs.enqueue('print', { text: 'b' }, { queue: 'news' }))
  const { mail, news } = JSON.parse((await jobs.run('tasks', 'stats', '--json')).stdout)
  t.match([mail, news], [{ waiting: 1, paused: true, oldest: Number }, { paused: false }])
  const resumed = await jobs.run('tasks', 'resume', 'mail')
  t.strictSame([resumed.code, resumed.stdout], [0, 'resumed mail\n'])
  t.equal(await tasks.result(waits), 'a')
  const unknown = await jobs.run('tasks', 'pause', 'mial')
  t.equal(unknown.code, 1)
  t.match(unknown.stderr, 'There is no queue mial')
  await working.stop(1000)
})

t.test('runs all that have failed again', async (t) => {
  const jobs = await createJobs(t)
  const { tasks } = jobs.app
  const working = await tasks.work({
    queues: ['default', 'mail'],
    concurrency: 5,
    schedules: false,
  })
  const ids = [await jobs.enqueue('fail'), await jobs.enqueue('fail', {}, { queue: 'mail' })]
  for (const id of ids) await t.rejects(tasks.result(id))
  await working.stop(1000)
  const mail = await jobs.run('tasks', 'retry', '--all', '--queue', 'mail')
  t.strictSame([mail.code, mail.stdout], [0, 'put back 1 of 1\n'])
  const all = await jobs.run('tasks', 'retry', '--all', '--json')
  t.strictSame([all.code, JSON.parse(all.stdout)], [0, { retried: 1 }])
  await until(async () => (await tasks.status(ids[0] as string)).state === 'waiting')
  for (const args of [[], ['--all', ids[0] as string], ['--queue', 'mail']])
    t.equal((await jobs.run('tasks', 'retry', ...args)).code, 2, args.join(' '))
})

t.test('an id that is none is told, and removing in production is refused', async (t) => {
  const jobs = await createJobs(t)
  for (const id of ['x', newTaskId('default')]) {
    for (const command of ['show', 'cancel', 'retry', 'remove']) {
      const yes = command === 'remove' ? ['--yes'] : []
      const { code, stderr } = await jobs.run('tasks', command, id, ...yes)
      t.equal(code, 1, `${command} ${id}`)
      t.match(stderr, /TASK_NOT_FOUND/)
    }
  }
  const id = await jobs.enqueue('print', { text: 'x' })
  const production = { NODE_ENV: 'production', SECRET_KEY: 'x'.repeat(64), QUEUES: 'false' }
  const refused = await jobs.runIn(production, 'tasks', 'remove', id, '--yes')
  t.equal(refused.code, 1)
  t.match(refused.stderr, /PRODUCTION_REFUSED/)
  t.equal((await jobs.app.tasks.status(id)).state, 'waiting')
  t.equal((await jobs.runIn(production, 'tasks', 'remove', id, '--yes', '--force')).code, 0)
})

t.test('without Redis and a database there is nothing to look at', async (t) => {
  const service = writeService(t)
  for (const args of [
    ['tasks', 'list'],
    ['tasks', 'stats'],
    ['schedule', 'list'],
    ['cache', 'stats'],
  ]) {
    const { code, stderr } = await manage(t, args, { service, env: { ...BARE, REDIS_URL: '' } })
    t.equal(code, 1, args.join(' '))
    t.match(stderr, /REDIS_MISSING/)
  }
})
