import type { Redis } from 'ioredis'
import { decode } from './record.ts'
import { patternOf, type RedisNames } from './redis-names.ts'
import { DELETE, INVALIDATE } from './redis-scripts.ts'

/** Runs one call of Redis. @throws where it does not come through */
export type Run = <T>(call: (client: Redis) => Promise<T>) => Promise<T>

const BATCH = 500

export async function remove(
  names: RedisNames,
  keys: readonly string[],
  message: string,
  run: Run,
): Promise<void> {
  for (let start = 0; start < keys.length; start += BATCH) {
    const batch = keys
      .slice(start, start + BATCH)
      .flatMap((key) => [names.entry(key), names.lease(key)])
    await run((client) => DELETE.run(client, batch, [names.channel, message]))
  }
}

export async function invalidate(
  names: RedisNames,
  tags: readonly string[],
  message: string,
  run: Run,
): Promise<void> {
  const keys = tags.map(names.tag)
  const args = [names.entries, names.leases, names.channel, message]
  while ((await run((client) => INVALIDATE.run(client, keys, args))) !== 1);
}

/** How many entries there were. What is being loaded is not stored, as `clears` has moved. */
export async function clear(
  names: RedisNames,
  prefix: string,
  message: string,
  run: Run,
): Promise<number> {
  await run((client) => client.incr(names.clears))
  let count = 0
  for await (const found of scan(names, prefix, run)) {
    count += await run((client) => client.unlink(...found))
  }
  await run((client) => client.publish(names.channel, message))
  return count
}

export async function sizeOf(
  names: RedisNames,
  run: Run,
): Promise<{ entries: number; bytes: number }> {
  let [entries, bytes] = [0, 0]
  for await (const found of scan(names, '', run)) {
    const lengths = await run((client) =>
      each(
        client,
        found.map((name) => ['strlen', name]),
      ),
    )
    entries += found.length
    bytes += lengths.reduce<number>((sum, length) => sum + (Number(length) || 0), 0)
  }
  return { entries, bytes }
}

/** The names of the entries whose key begins with `prefix`, in batches. */
async function* scan(names: RedisNames, prefix: string, run: Run): AsyncGenerator<string[]> {
  const { pattern, exact } = patternOf(prefix)
  let cursor = '0'
  do {
    const at = cursor
    const [next, found] = await run((client) =>
      client.scan(at, 'MATCH', names.entries + pattern, 'COUNT', BATCH),
    )
    const wanted = exact ? found : await having(found, prefix, run)
    if (wanted.length > 0) yield wanted
    cursor = next
  } while (cursor !== '0')
}

/** Those whose whole key, which is in the record, begins with `prefix`. */
async function having(found: readonly string[], prefix: string, run: Run): Promise<string[]> {
  const records = await run((client) =>
    each(
      client,
      found.map((name) => ['getBuffer', name]),
    ),
  )
  return found.filter((_, index) => {
    const record = records[index]
    return Buffer.isBuffer(record) && decode(record)?.key.startsWith(prefix)
  })
}

async function each(client: Redis, commands: string[][]): Promise<unknown[]> {
  const answers = (await client.pipeline(commands).exec()) ?? []
  return answers.map(([, answer]) => answer)
}
