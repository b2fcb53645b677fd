import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { type CacheOptions, openCache } from '../../src/cache/open.ts'
import type { Cache, Load, LoadOptions } from '../../src/cache/types.ts'
import { type ConnectionOptions, requestConnection } from '../../src/config/redis-connection.ts'
import { PATIENT, redisUrl } from '../helpers/drivers.ts'

export interface CacheDriver {
  readonly name: 'memory' | 'redis'
  /** An empty cache, closed when the test ends. */
  open(t: Test, options?: Partial<CacheOptions>): Promise<Cache>
}

export const silent = { info: () => {}, warn: () => {} }

export const cacheDrivers: readonly CacheDriver[] = [
  {
    name: 'memory',
    async open(t, options) {
      const cache = await openCache({ log: silent, ...options })
      t.teardown(() => cache.close())
      return cache
    },
  },
  {
    name: 'redis',
    open: async (t, options) =>
      openOn(await connect(t, redisUrl()), t, { prefix: randomUUID(), ...options }),
  },
]

/** A cache as another process would have it. */
export async function openOn(
  client: Redis,
  t: Test,
  options: Partial<CacheOptions>,
): Promise<Cache> {
  const cache = await openCache({ client, log: silent, ...PATIENT, ...options })
  t.teardown(() => cache.close())
  return cache
}

/** Those of a connection as plinth/plugins/redis makes it, but one that waits as long as a busy machine needs. */
export function patientConnection(url: string): ConnectionOptions {
  return requestConnection(url, { ...PATIENT, connectTimeout: 30_000 })
}

/** Such a connection, ready. */
export async function connect(t: Test, url: string): Promise<Redis> {
  const client = new Redis(patientConnection(url))
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  await client.connect()
  return client
}

/** The text that `find` finds. */
export async function textOf(
  cache: Cache,
  key: string,
  load: Load<string | undefined>,
  options: LoadOptions,
): Promise<string | undefined> {
  return (await cache.find(key, load, options)).text
}

/** Waits until `condition` holds, a minute at most. */
export async function until(condition: () => unknown): Promise<void> {
  for (const end = Date.now() + 60_000; Date.now() < end; ) {
    if (await condition()) return
    await delay(5)
  }
  throw new Error(`it did not happen within a minute: ${condition}`)
}
