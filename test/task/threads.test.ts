import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { ServiceDefinition } from '../../src/define-service.ts'
import { createApp } from '../../src/service.ts'
import type { EnqueueOptions } from '../../src/task/types.ts'
import { until } from '../suites/task-fixture.ts'

const SERVICE = `
import { threadId } from 'node:worker_threads'
import { defineModule, defineResource, defineService, errors, fail, retry, Type } from 'plinth'

let left
let isAnswered = false
const WORK = {
  id: async (input, { user, task, progress, db }) => {
    await progress({ state: 'busy', data: 1 })
    return { threadId, user: user?.id ?? null, attempt: task.attempt, children: await task.childResults() }
  },
  spin: () => { for (;;); },
  heeds: (input, { signal }) => new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
  }),
  refuses: () => { throw errors.CONFLICT('no') },
  fails: () => fail(new Error('secret')),
  again: (input, { task }) => task.attempt === 1 ? retry(errors.NOT_FOUND('x', 'y'), { delay: 1 }) : 'twice',
  exits: () => process.exit(3),
  leaves: (input, { task, progress }) => {
    left = async () => {
      task.childResults().then(() => { isAnswered = true })
      await progress({ state: 'of the one before' })
    }
    return 'left'
  },
  follows: async (input, { task, progress }) => {
    await progress({ state: 'its own' })
    await left()
    await task.childResults()
    return isAnswered
  },
}

const work = defineResource({
  summary: 'Work',
  method: 'POST',
  request: Type.Object({ what: Type.String() }),
  response: Type.Unknown(),
  task: { thread: true },
  perform: (input, context) => WORK[input.what](input, context),
})
const beside = defineResource({
  summary: 'Beside', response: Type.Integer(), perform: () => threadId,
})

export default defineService({
  name: 'threads',
  loadUser: (id) => ({ id }),
  modules: { things: defineModule({ prefix: '/things', resources: { work, beside } }) },
})
`

async function open(t: Test) {
  const root = t.testdir()
  const file = join(root, 'service.mjs')
  writeFileSync(file, SERVICE)
  const { default: service } = (await import(pathToFileURL(file).href)) as {
    default: ServiceDefinition
  }
  const env = { NODE_ENV: 'test', DATABASE_URL: '', LOG_LEVEL: 'silent' }
  const override = { tasks: { abortGrace: 600 } }
  const app = (await createApp(service, {
    ...{ root, file, env, override, logger: false },
  })) as unknown as FastifyInstance
  t.teardown(() => app.close())
  await app.ready()
  const enqueue = (what: string, options: EnqueueOptions = {}) =>
    app.run(async () => {
      const task = await app.resources.things?.work?.enqueue({ what }, options)
      return task?.task_id as string
    })
  const run = async (what: string, options?: EnqueueOptions) =>
    await app.tasks.result<unknown>(await enqueue(what, options))
  return { app, enqueue, run }
}

t.test('runs in a thread, with the context of the task', async (t) => {
  const { app, run } = await open(t)
  const done = (await run('id', { user: 'ann' })) as { threadId: number }
  t.match(done, { user: 'ann', attempt: 1, children: [] })
  t.not(done.threadId, 0)
  const again = (await run('id')) as { threadId: number; user: null }
  t.strictSame([again.threadId, again.user], [done.threadId, null], 'which stays')
  const beside = await app.run(async () => await app.resources.things?.beside?.enqueue())
  t.equal(await beside?.result(), 0, 'what does not say so runs in none')
})

t.test('what takes the processor keeps nothing else from it, and is ended', async (t) => {
  const { app, enqueue, run } = await open(t)
  const spins = await enqueue('spin')
  await until(async () => (await app.tasks.find(spins)).state === 'running')
  t.equal((await app.inject('/things')).statusCode, 200, 'the event loop is free')
  t.equal(await app.tasks.cancel(spins), true)
  await t.rejects(app.tasks.result(spins), { code: 'TASK_CANCELLED' })
  t.match(await run('id'), { attempt: 1 }, 'in another thread')
  const heeds = await enqueue('heeds')
  await until(async () => (await app.tasks.find(heeds)).state === 'running')
  t.equal(await app.tasks.cancel(heeds), true)
  await t.rejects(app.tasks.result(heeds), { code: 'TASK_CANCELLED' })
  t.equal(app.tasks.stuck.count, 0)
})

t.test('fails as it would without a thread', async (t) => {
  const { app, enqueue, run } = await open(t)
  const failureOf = async (what: string, options?: EnqueueOptions) => {
    const id = await enqueue(what, options)
    await app.tasks.result(id).catch(() => {})
    const { failure, attempts_made } = await app.tasks.find(id)
    return [failure?.code, attempts_made]
  }
  t.strictSame(await failureOf('refuses', { attempts: 1 }), ['CONFLICT', 1])
  t.strictSame(await failureOf('fails', { attempts: 3 }), ['INTERNAL', 1], 'fail() is final')
  t.equal(await run('again', { attempts: 2 }), 'twice')
  t.strictSame(await failureOf('exits'), ['INTERNAL', 1], 'the thread ends, and not the process')
  t.match(await run('id'), { attempt: 1 })
})

t.test('what a task leaves behind in its thread asks nothing of the next one', async (t) => {
  const { app, enqueue, run } = await open(t)
  t.equal(await run('leaves'), 'left')
  const follows = await enqueue('follows')
  t.equal(await app.tasks.result(follows), false)
  t.match((await app.tasks.find(follows)).progress, { state: 'its own' })
})
