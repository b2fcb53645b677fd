import { once } from 'node:events'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Attached } from './attach.ts'
import { versionOf } from './program.ts'
import { freePort, progress, untilReady } from './ready.ts'
import type { Sandbox } from './sandbox.ts'

const encode = (words: string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`

/** Logs in and sends a PING, without a client library. Gives up after 5 s. */
async function ping(address: string): Promise<void> {
  const { protocol, hostname: host, port, username, password } = new URL(address)
  const target = { host, port: Number(port || 6379) }
  const socket = protocol === 'rediss:' ? connectTls(target) : connect(target)
  const signal = AbortSignal.timeout(5000)
  try {
    const login = [username, password].filter(Boolean).map(decodeURIComponent)
    for (const command of [...(login.length ? [['AUTH', ...login]] : []), ['PING']]) {
      socket.write(encode(command))
      const [answer] = await once(socket, 'data', { signal })
      if (!String(answer).startsWith('+')) throw new Error(String(answer).trim())
    }
  } finally {
    socket.destroy()
  }
}

async function start(program: string, sandbox: Sandbox): Promise<string> {
  const name = `Redis ${/v=(\d+\.\d+)/.exec(await versionOf(program))?.[1]}`
  const port = await freePort()
  progress(`starting ${name} on 127.0.0.1:${port}`)
  const place = ['--bind', '127.0.0.1', '--port', `${port}`, '--dir', sandbox.folder]
  const memoryOnly = ['--save', '', '--appendonly', 'no']
  const server = sandbox.spawnLogged('redis', program, [...place, ...memoryOnly])
  const url = `redis://127.0.0.1:${port}`
  await untilReady(name, server, () => ping(url))
  return url
}

export const redis: Attached = {
  title: 'Redis',
  variable: 'TEST_REDIS_URL',
  example: 'redis://127.0.0.1:6379',
  programs: ['redis-server'],
  package: 'redis-server',
  check: ping,
  start,
}
