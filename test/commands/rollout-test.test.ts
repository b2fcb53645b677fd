import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { type Ended, manage, manageAlone, startManage } from '../helpers/manage.ts'
import { ownRedis } from '../helpers/own-redis.ts'
import { BARE, writeService } from '../helpers/service.ts'

const ATLAS = fileURLToPath(new URL('../../examples/atlas', import.meta.url))

/** In a process of its own, for as long as it takes. */
function test(
  t: Test,
  service: string,
  env: Record<string, string | undefined>,
  ...args: string[]
): Promise<Ended> {
  const quick = ['--seconds', '1', '--pause', '1', '--rate', '40', '--json']
  return startManage(t, ['rollout-test', ...quick, ...args], { service, env }).ended
}

t.test('Atlas is replaced by a release with a migration more, and loses nothing', async (t) => {
  const redis = await ownRedis(t)
  const env = {
    DATABASE_URL: `sqlite:${join(t.testdir(), 'atlas.db')}`,
    REDIS_URL: redis.url,
    // What else works on this machine makes it late.
    LOAD_SHEDDING: 'false',
    REDIS_TIMEOUT: '10000',
  }
  const options = { service: ATLAS, env }
  t.match(await manage(t, ['migrate', '--to', '0003'], options), { code: 0 })
  const asked = ['--request', 'POST /cities/distances {"from": 1, "to": [2, 3]}']
  const { code, stdout, stderr } = await test(t, ATLAS, env, ...asked)
  t.equal(code, 0, stderr + stdout)
  const { requests, failures, tasks, problems, requested, restarts } = JSON.parse(stdout)
  t.strictSame([failures, problems, tasks.lost, tasks.doubled], [[], [], [], []])
  t.ok(requests > 10)
  t.ok(tasks.enqueued > 5)
  t.ok(restarts.all >= 1 && restarts.one >= 1)
  for (const one of ['GET /cities', 'GET /countries', 'POST /cities/distances'])
    t.ok(requested.includes(one), one)
  const status = await manage(t, ['migrate', 'status', '--json'], options)
  t.notMatch(status.stdout, 'pending', 'the migration was applied')
})

/** A release that answers as `perform` says. */
function release(t: Test, perform: string): string {
  return writeService(t, {
    'src/things.ts': `
      import { defineModule, defineResource, fail, Type } from 'plinth'
      let times = 0
      const tell = defineResource({ summary: 'x', response: Type.Integer(), perform: ${perform} })
      const id = Type.Object({ id: Type.Integer() })
      const later = defineResource({ summary: 'y', path: '/:id', request: id, perform: () => null })
      export const things = defineModule({ prefix: '/things', resources: { tell, later } })`,
  })
}

t.test('what fails in the new release is named: exit code 1', async (t) => {
  const env = { ...BARE, REDIS_URL: undefined }
  const from = release(t, '() => 1')
  await t.test('the new release', async (t) => {
    const bad = release(t, `() => { throw new Error('not any more') }`)
    const { code, stdout } = await test(t, bad, env, '--from', from)
    t.equal(code, 1)
    const { failures, requested, requests } = JSON.parse(stdout)
    t.strictSame(requested, ['GET /things'])
    t.match(failures[0], { request: 'GET /things', problem: /^500 / })
    const failed = failures.reduce((sum: number, { times }: { times: number }) => sum + times, 0)
    t.ok(failed < requests, 'the old one has answered')
  })
  await t.test('tasks of the new release that are lost, or done twice', async (t) => {
    // What is done once more says so once more.
    const bad = release(
      t,
      `(_, { task, log }) => {
        if (!task) return 1
        if (times++ % 2 === 0) fail(new Error('not any more'))
        log.info('task done')
        return 1
      }`,
    )
    const DATABASE_URL = `sqlite:${join(bad, 'tasks.db')}`
    const { code, stdout } = await test(t, bad, { ...env, DATABASE_URL }, '--from', from)
    t.equal(code, 1)
    const { failures, problems, tasks } = JSON.parse(stdout)
    t.strictSame([failures, problems], [[], []], 'requests are answered by both')
    t.ok(tasks.lost.length > 0 && tasks.doubled.length > 0, stdout)
    t.match(tasks.lost[0], /^[\w.-]+: not any more$/)
    t.ok(tasks.enqueued > tasks.lost.length + tasks.doubled.length, 'the old one has done its own')
  })
  await t.test('a release that does not start', async (t) => {
    const broken = writeService(t, {
      'src/service.ts': `
        import cluster from 'node:cluster'
        import { defineService } from 'plinth'
        import { things } from './things.ts'
        if (cluster.isWorker) throw new Error('not today')
        export default defineService({ name: 'shop', modules: { things } })`,
    })
    const { code, stdout } = await test(t, broken, env, '--from', from)
    t.equal(code, 1)
    const { failures, problems } = JSON.parse(stdout)
    t.strictSame(failures, [], 'the old processes have gone on')
    t.match(problems[0], /^a new process does not start: those that serve stay/)
  })
})

t.test('what cannot be is told', async (t) => {
  const service = release(t, '() => 1')
  const run = (...args: string[]) =>
    manage(t, ['rollout-test', ...args], { service, env: { ...BARE, REDIS_URL: undefined } })
  for (const args of [
    ['--request', 'things'],
    ['--request', 'POST /things {nothing'],
    ['--request', 'PUT /things @nowhere.jpg'],
    ['--header', 'nothing'],
    ['--seconds', '0'],
  ])
    t.match(await run(...args), { code: 2, stdout: '' }, args.join(' '))
  const TMPDIR = join(service, 'temporary')
  mkdirSync(TMPDIR)
  const env = { ...BARE, REDIS_URL: undefined, TMPDIR }
  const nowhere = await manageAlone(t, ['rollout-test', '--from', '/nowhere'], { service, env })
  t.match(nowhere, { code: 2, stdout: '', stderr: /no src\/service\.ts/ })
  const left = readdirSync(TMPDIR).filter((name) => name.startsWith('plinth'))
  t.strictSame(left, [], 'no folder is left behind')
  const production = await manage(t, ['rollout-test'], {
    service,
    env: { ...BARE, REDIS_URL: undefined, NODE_ENV: 'production' },
  })
  t.match(production, { code: 1, stderr: /^error PRODUCTION_REFUSED: / })
  const asked = await run('--request', 'GET /nothing')
  t.match(asked, {
    code: 1,
    stderr: /^error ROLLOUT_UNTESTED: .*GET \/nothing fails before anything is restarted: 404/,
  })
})
