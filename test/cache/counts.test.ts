import { Command, Redis } from 'ioredis'
import t from 'tap'
import { CountsShare, noCounts } from '../../src/cache/counts.ts'
import { RedisLink } from '../../src/cache/redis-link.ts'
import { REDIS_LIMITS, requestConnection } from '../../src/config/redis-connection.ts'
import { ownRedis } from '../helpers/own-redis.ts'
import { until } from '../suites/cache-fixture.ts'

t.test('what is counted in an outage harms nobody, and counting goes on after it', async (t) => {
  const server = await ownRedis(t)
  const client = new Redis(requestConnection(server.url, REDIS_LIMITS))
  client.on('error', () => {})
  await client.connect().catch(() => {})
  const counts = noCounts()
  const quiet = { warn() {}, info() {} }
  const known = {
    owner: 'cache',
    client,
    command: Command,
    counts,
    timeout: REDIS_LIMITS.commandTimeout,
    log: quiet,
  }
  const link = new RedisLink({ ...known, async recover() {}, onAway() {}, onBack() {} })
  const share = new CountsShare(link, 'counts', counts, 10)
  t.teardown(async () => {
    await share.stop()
    link.close()
    client.disconnect()
  })

  share.start()
  counts.misses++
  await until(async () => (await share.total())?.misses === 1)
  await server.kill()
  counts.misses++
  await until(async () => link.away)
  t.equal(await share.total(), undefined)
  await server.restart()
  await until(async () => !link.away)
  counts.hits_redis++
  await until(async () => (await client.hget('counts', 'hits_redis')) === '1')
  t.ok(counts.errors >= 1)
})
