import type { Redis } from 'ioredis'
import t from 'tap'
import { BatchingClient } from '../../src/task/bullmq/batching-client.ts'
import { redisUrl } from './redis-fixture.ts'

const KEY = 'test-client'

/** How often Redis has read from any connection so far. */
async function reads(client: Redis): Promise<number> {
  const [, count] = /total_reads_processed:(\d+)/.exec(await client.info('stats')) ?? []
  return Number(count)
}

t.test('commands of one turn share writes, and keep their order', async (t) => {
  const client = new BatchingClient(redisUrl(), { replyMapping: 'legacy' })
  t.teardown(() => client.disconnect())
  await client.del(KEY)
  const before = await reads(client)
  const counted = await Promise.all(Array.from({ length: 80 }, () => client.incr(KEY)))
  const after = await reads(client)
  t.strictSame(
    counted,
    Array.from({ length: 80 }, (_, i) => i + 1),
  )
  // Eight at a time, and the question how many they were.
  t.ok(after - before <= 11, `${after - before} reads`)
  t.strictSame(await client.pipeline().incr(KEY).del(KEY).exec(), [
    [null, 81],
    [null, 1],
  ])
})
