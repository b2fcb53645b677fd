import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import queues, { type QueuesOptions } from '../../plugins/queues.ts'
import redis from '../../plugins/redis.ts'
import resources from '../../plugins/resources.ts'
import tasks from '../../plugins/tasks.ts'
import { errors } from '../../src/errors.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { TaskFinal } from '../../src/task/errors.ts'
import { createService, failure } from '../helpers/app.ts'
import { startBrowser } from '../helpers/browser.ts'
import { PATIENT, redisUrl } from '../helpers/drivers.ts'
import { until } from '../suites/task-fixture.ts'
import { redisDrivers } from '../task/redis-fixture.ts'
import { startWorker } from '../task/worker-process.ts'

/** A plain app with a resource that fails until `mend` is called. */
async function create(t: Test, options: QueuesOptions = {}) {
  const app = Fastify()
  t.teardown(() => app.close())
  const prefix = `{${randomUUID()}}`
  let broken = true
  const work = defineResource({
    summary: 'Work',
    response: Type.String(),
    perform() {
      if (broken) throw errors.CONFLICT('out of paper')
      return 'printed'
    },
  })
  app.register(redis, { url: redisUrl(), ...PATIENT })
  app.register(tasks, { prefix, queues: ['mail'] })
  app.register(queues, { prefix, ...options })
  const modules = { printer: defineModule({ prefix: '/printer', resources: { work } }) }
  app.register(resources, { modules })
  await app.ready()
  const mend = () => {
    broken = false
  }
  return { app, work, mend, prefix }
}

t.test('in a browser: a task that failed is shown and tried again', async (t) => {
  const { app, work, mend } = await create(t, { title: 'Tasks & more' })
  await app.tasks.work({ queues: ['default', 'mail'], concurrency: 1, schedules: false })
  const task = await app.run(() => work.enqueue({}, { queue: 'mail' }))
  await t.rejects(task.result(), { code: 'TASK_FAILED' })
  const { page, asked, refused, said, origin } = await openPage(t, app, '/_/queues')
  await page.getByRole('link', { name: 'mail' }).first().waitFor()
  t.equal(await page.title(), 'Tasks & more')
  await page.goto(`${origin}/_/queues/queue/mail?status=failed`)
  await page.getByText(task.task_id).first().waitFor()
  mend()
  const again = page.locator('main button:has(svg.lucide-refresh-cw)').last()
  await again.click()
  await page.getByRole('button', { name: 'Confirm' }).click()
  await until(async () => (await task.status()).state === 'succeeded')
  t.equal(await task.result(), 'printed')
  // Its fonts, which the policy refuses.
  const elsewhere = asked.filter((url) => !url.startsWith(`${origin}/`) && !url.startsWith('data:'))
  t.strictSame(refused, elsewhere)
  t.strictSame(
    said.filter((text) => !text.includes('Content Security Policy')),
    [],
  )
})

t.test('one that was cancelled is tried again as one that has failed', async (t) => {
  const { app, work, mend } = await create(t)
  mend()
  const [one, other] = await app.run(() => work.enqueueMany([{}, {}], { queue: 'mail' }))
  const failed = '/_/queues/api/queues/mail/retry/failed'
  for (const url of [`/_/queues/api/queues/mail/${one?.task_id}/retry`, failed]) {
    await one?.cancel()
    await other?.cancel()
    const before = await app.tasks.find(one?.task_id as string)
    t.equal(before.state, 'cancelled')
    t.equal((await app.inject({ method: 'PUT', url })).statusCode, url === failed ? 200 : 204)
    t.equal((await one?.status())?.state, 'waiting')
  }
  await app.tasks.work({ queues: ['mail'], concurrency: 1, schedules: false })
  t.equal(await one?.result(), 'printed')
  t.equal(await other?.result(), 'printed')
})

t.test('in a browser: which process died of a task, told from one that failed', async (t) => {
  const { app, work, prefix } = await create(t)
  const crashed = await app.run(() => work.enqueue())
  const { ran, kill, name } = startWorker(t, [redisUrl(), prefix])
  t.strictSame(await once(ran, 'line'), [crashed.task_id])
  await kill()
  const driver = redisDrivers(t, { prefix, maxCrashes: 1 })()
  const perform = async () => {
    throw new TaskFinal(errors.CONFLICT('out of paper'))
  }
  await driver.work({ queues: ['default'], concurrency: 1, perform })
  await t.rejects(crashed.result(), { code: 'TASK_CRASHED' })
  const failed = await app.run(() => work.enqueue())
  await t.rejects(failed.result(), { code: 'TASK_FAILED' })
  const { page } = await openPage(t, app, '/_/queues/queue/default?status=failed')
  await page.getByText(failed.task_id).first().waitFor()
  t.match(await page.getByText('printer.work', { exact: false }).allTextContents(), [
    'printer.work',
    'printer.work (crashed)',
  ])
  const record = await driver.get(crashed.task_id)
  const { began_at = '', noticed_at = '' } = record?.crashes[0] ?? {}
  const died = page.getByText('died while')
  await died.first().waitFor()
  t.strictSame((await died.allTextContents()).join().trim().split(/\n\s*/), [
    JSON.stringify(record?.failure),
    `${name} died while it ran the task: it began at ${began_at}, and was missed at ${noticed_at}`,
  ])
})

t.test('the page itself is there also when the queues cannot be asked for', async (t) => {
  const { app } = await create(t)
  t.equal((await app.inject('/_/queues/api/queues')).statusCode, 200)
  const driver = await app.tasks.driver()
  driver.queues = () => Promise.reject(new Error('Redis is late'))
  t.equal((await app.inject('/_/queues/api/queues')).statusCode, 500)
  const page = await app.inject('/_/queues')
  t.equal(page.statusCode, 200)
  const script = /src="([^"]+\.js)"/.exec(page.body)?.[1] ?? 'none'
  const { pathname } = new URL(script, 'http://localhost/_/queues/')
  t.equal((await app.inject(pathname)).statusCode, 200, pathname)
})

t.test('the page is refused to strangers', async (t) => {
  const { app } = await create(t, {
    protected: true,
    protect: async (request) => {
      if (request.headers.authorization !== 'Bearer secret') throw errors.UNAUTHENTICATED()
    },
  })
  const urls = ['/_/queues', '/_/queues/', '/_/queues/api/queues', '/_/queues/static/js/main.js']
  for (const url of urls) {
    for (const method of ['GET', 'PUT', 'POST'] as const)
      t.equal((await app.inject({ method, url })).statusCode, 401, `${method} ${url}`)
  }
  const headers = { authorization: 'Bearer secret' }
  for (const url of ['/_/queues', '/_/queues/api/queues']) {
    const allowed = await app.inject({ url, headers })
    t.equal(allowed.statusCode, 200, url)
    t.match(allowed.headers['content-security-policy'], "default-src 'self'")
  }
})

t.test('without protection there is none in production', async (t) => {
  const variables = {
    NODE_ENV: 'production',
    REDIS_URL: redisUrl(),
    QUEUES: 'true',
    SECRET_KEY: 'x'.repeat(64),
  }
  t.match(await failure(createService(t, {}, { variables })), { code: 'QUEUES_UNPROTECTED' })
  const protect = async () => {
    throw errors.FORBIDDEN()
  }
  const { app } = await createService(t, {}, { variables, queues: { protect } })
  t.equal((await app.inject('/_/queues')).statusCode, 403)
  t.equal((await failure(create(t, { protected: true }))).code, 'QUEUES_UNPROTECTED')
})

t.test('there is none without Redis, in production, or with QUEUES=false', async (t) => {
  const REDIS_URL = redisUrl()
  for (const variables of [
    {},
    { REDIS_URL, QUEUES: 'false' },
    { REDIS_URL, NODE_ENV: 'production' },
  ]) {
    const { app } = await createService(t, {}, { variables })
    t.equal((await app.inject('/_/queues')).statusCode, 404, JSON.stringify(Object.keys(variables)))
  }
  const { app } = await createService(t, {}, { variables: { REDIS_URL } })
  t.equal((await app.inject('/_/queues')).statusCode, 200)
})

/** A page in a browser that finds no host but this one, with each URL that it asked for and all it had to say. */
async function openPage(t: Test, app: FastifyInstance, path: string) {
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  const browser = await startBrowser()
  t.teardown(() => browser.close())
  const page = await browser.newPage({ viewport: { width: 1400, height: 1000 } })
  const asked: string[] = []
  const refused: string[] = []
  const said: string[] = []
  page.setDefaultTimeout(120_000)
  page.on('request', (request) => asked.push(request.url()))
  page.on('requestfailed', (request) => {
    if (request.failure()?.errorText === 'csp') refused.push(request.url())
  })
  page.on('pageerror', (error) => said.push(String(error)))
  page.on('console', (message) => {
    if (message.type() === 'error') said.push(message.text())
  })
  await page.goto(`${origin}${path}`)
  return { page, asked, refused, said, origin }
}
