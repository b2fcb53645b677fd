import { join } from 'node:path'
import { sql } from 'kysely'
import t from 'tap'
import { addToOutbox, sendFromOutbox } from '../../src/task/outbox.ts'
import { open } from '../database/fixture.ts'
import { ownRedis } from '../helpers/own-redis.ts'
import { task, tree, until } from '../suites/task-fixture.ts'
import { createJobs } from './task-service.ts'

t.test('lists, delivers again and removes what is on its way to Redis', async (t) => {
  const jobs = await createJobs(t)
  const server = await ownRedis(t, { started: false })
  const env = {
    DATABASE_URL: `sqlite:${join(jobs.service, 'jobs.db')}`,
    REDIS_URL: server.url,
    REDIS_TIMEOUT: '250',
  }
  const run = (...args: string[]) => jobs.runIn(env, 'outbox', ...args)
  const none = await run('list')
  t.match(none, { code: 0, stdout: /^$/, stderr: /no task is on its way\n$/ })
  const db = await open(t, env.DATABASE_URL)
  const [waits, refused, other] = ['a', 'b', 'c'].map((text) =>
    tree(task({ resource: 'jobs.print', input: { text } })),
  ) as [ReturnType<typeof tree>, ReturnType<typeof tree>, ReturnType<typeof tree>]
  const messages = [waits, refused, other].map((one) => ({
    id: one.id,
    kind: 'task',
    payload: one,
  }))
  await addToOutbox(db, messages)
  await sendFromOutbox(db, 'task', 10, async () => ({
    delivered: [],
    refused: [refused, other].map(({ id }) => ({ id, problem: 'out of paper', final: true })),
  }))
  const rows = async () =>
    (
      await sql<{ id: string; attempts: number; failed: number }>`
        select id, attempts, failed_at is not null as failed from plinth_outbox order by position`.execute(
        db,
      )
    ).rows

  const listed = JSON.parse((await run('list', '--json')).stdout)
  t.match(listed, [
    { id: waits.id, state: 'waiting', resource: 'jobs.print', queue: 'default', attempts: 0 },
    { id: refused.id, state: 'refused', attempts: 1, problem: 'out of paper' },
    { id: other.id, state: 'refused' },
  ])
  t.match((await run('list', '--state', 'waiting')).stdout, `${waits.id}  waiting  jobs.print  0`)
  const first = JSON.parse(
    (await run('list', '--state', 'refused', '--limit', '1', '--json')).stdout,
  )
  t.strictSame(first, [listed[1]])

  t.equal((await run('retry')).code, 2, 'of which is not said')
  t.equal((await run('retry', refused.id, '--all')).code, 2)
  const retried = await run('retry', refused.id)
  t.strictSame([retried.code, retried.stdout], [0, '1 of 1 are tried again\n'])
  t.strictSame(await rows(), [
    { id: waits.id, attempts: 0, failed: 0 },
    { id: refused.id, attempts: 0, failed: 0 },
    { id: other.id, attempts: 1, failed: 1 },
  ])
  const not = await run('retry', waits.id)
  t.strictSame([not.code, not.stdout], [1, '0 of 1 are tried again\n'])
  t.equal((await run('retry', '--all')).stdout, '1 are tried again\n')

  const removed = await run('remove', other.id, '--yes', '--json')
  t.strictSame([removed.code, JSON.parse(removed.stdout)], [0, { removed: 1 }])
  const gone = await run('remove', other.id, '--yes')
  t.strictSame([gone.code, gone.stdout], [1, 'removed 0 of 1\n'])
  t.strictSame(await rows(), [
    { id: waits.id, attempts: 0, failed: 0 },
    { id: refused.id, attempts: 0, failed: 0 },
  ])

  await server.restart()
  const worker = jobs.start(env, 'worker')
  await Promise.all(['a', 'b'].map((text) => worker.until('stdout', new RegExp(`printed ${text}`))))
  await until(async () => (await rows()).length === 0)
})
