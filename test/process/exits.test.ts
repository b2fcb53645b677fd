import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { disconnect } from '../../src/task/bullmq/connection.ts'
import { databaseDrivers, redisUrl } from '../helpers/drivers.ts'
import { ENV, nodeOptions } from '../helpers/manage.ts'
import { occupy } from '../helpers/network.ts'

const CHILD = fileURLToPath(new URL('./exits-child.ts', import.meta.url))

/** A Redis that answers on so many connections; to others it listens, and says nothing. */
async function mutedRedis(t: Test, answered: number) {
  const { hostname, port } = new URL(redisUrl())
  const sockets: Socket[] = []
  let left = answered
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => {}))
    if (left-- <= 0) return
    const real = connect(Number(port || 6379), hostname).on('error', () => {})
    sockets.push(real)
    socket.pipe(real).pipe(socket)
  })
  const url = `redis://127.0.0.1:${await occupy(t, server)}`
  const end = () => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  t.teardown(end)
  return { url, end }
}

/** What a process does that closes while it opens, and whose Redis is gone then. */
async function run(t: Test, name: string, answered: number, database = '') {
  const redis = await mutedRedis(t, answered)
  const options = nodeOptions('--conditions=plinth-source')
  const args = [options, process.execPath, CHILD, name, redis.url, database]
  const child = spawn(ENV, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  let said = ''
  child.stderr.on('data', (text) => {
    said += text
  })
  createInterface(child.stdout).on('line', (line) => {
    if (line === 'closed') redis.end()
  })
  const [code] = await once(child, 'close')
  return { code, said }
}

const DONE = { code: 0, said: '' }

t.test(
  'a process whose parts are closed ends by itself, also where they were still opening',
  async (t) => {
    const cases: [string, number][] = [
      ['waits for a task', 1],
      ['works on tasks', 0],
      ['adds a tree', 1],
      ['has tasks of its own', 0],
      ['shows its queues', 100],
    ]
    const urls = await Promise.all(databaseDrivers.map((database) => database.url(t)))
    const served = urls.flatMap((url) => [0, 1, 3].map((answered) => [answered, url] as const))
    // All at once: most of what they do is wait for a Redis that says nothing.
    await Promise.all([
      ...cases.map(async ([name, answered]) =>
        t.strictSame(await run(t, name, answered), DONE, name),
      ),
      ...served.map(async ([answered, url]) => {
        const ended = await run(t, 'serves with all that is attached', answered, url)
        t.strictSame(ended, DONE, `${new URL(url).protocol} of Redis ${answered} connections`)
      }),
    ])
  },
)

t.test('a connection that was lost before it could be ended is not made again', async (t) => {
  const client = new Redis(redisUrl(), { enableOfflineQueue: false })
  await once(client, 'ready')
  t.teardown(() => client.disconnect())
  client.stream.destroy()
  await disconnect(client)
  const next = await Promise.race(
    ['end', 'ready'].map((event) => once(client, event).then(() => event)),
  )
  t.equal(next, 'end')
})
