import type { Socket } from 'node:net'
import t from 'tap'
import { parseRedisUrl } from '../../src/config/redis-connection.ts'
import { BatchingClient } from '../../src/task/bullmq/batching-client.ts'
import { redisUrl } from '../helpers/drivers.ts'

const KEY = 'test-batching-client'

t.test('commands of one turn share writes, and keep their order', async (t) => {
  const client = new BatchingClient(parseRedisUrl(redisUrl()))
  t.teardown(() => client.disconnect())
  await client.del(KEY)
  // What the socket is given at once, it sends at once.
  const socket = client.stream as Required<Pick<Socket, '_writev'>>
  const writes = t.capture(socket, '_writev', socket._writev)
  const counted = await Promise.all(Array.from({ length: 20 }, () => client.incr(KEY)))
  t.strictSame(
    counted,
    Array.from({ length: 20 }, (_, i) => i + 1),
  )
  t.strictSame(
    writes.args().map(([chunks]) => chunks.length),
    [8, 8, 4],
  )
  t.strictSame(await client.pipeline().incr(KEY).del(KEY).exec(), [
    [null, 21],
    [null, 1],
  ])
})
