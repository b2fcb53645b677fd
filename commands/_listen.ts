import { lstatSync, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import type { FastifyInstance, FastifyListenOptions } from 'fastify'
import { errors } from '../src/errors.ts'
import type { Address } from '../src/process/group.ts'

/** The first descriptor that a service manager passes: sd_listen_fds(3). */
const FIRST = 3
/** How many connections wait to be accepted, as far as the system lets them (net.core.somaxconn of Linux: 4096). Of a thousand that come at once Node.js' own 511 leave some without an answer. */
const BACKLOG = 4096

/**
 * The socket that systemd has passed to this process (LISTEN_FDS), if it has. What this process starts is not told of it.
 *
 * @throws {PlinthError} SOCKET_UNUSABLE where there are several
 */
export function passedSocket(env = process.env): { fd: number } | undefined {
  const { LISTEN_PID, LISTEN_FDS } = env
  // What another process was passed is not here: a shell or npm between, or what started this one has forgotten.
  if (Number(LISTEN_PID) !== process.pid) return undefined
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete env[name]
  if (LISTEN_FDS !== '1') {
    throw errors.SOCKET_UNUSABLE('what systemd passes', `LISTEN_FDS is ${LISTEN_FDS}`)
  }
  return { fd: FIRST }
}

/**
 * Lets `app` listen. A unix socket whose process has died is replaced.
 *
 * @throws {PlinthError} PORT_IN_USE, ADDRESS_UNUSABLE, SOCKET_IN_USE, SOCKET_UNUSABLE
 */
export async function listen(app: FastifyInstance, address: Address): Promise<void> {
  try {
    await begin(app, address)
  } catch (cause) {
    const { code, syscall, message } = cause as NodeJS.ErrnoException
    if (!syscall) throw cause
    const isTaken = code === 'EADDRINUSE'
    if ('host' in address) {
      const name = `${address.host}:${address.port}`
      if (isTaken) throw errors.PORT_IN_USE.with({ cause }, name)
      throw errors.ADDRESS_UNUSABLE.with({ cause }, name, message)
    }
    if (!('path' in address)) {
      throw errors.SOCKET_UNUSABLE.with({ cause }, `descriptor ${address.fd}`, message)
    }
    const { path } = address
    if (!isTaken) throw errors.SOCKET_UNUSABLE.with({ cause }, path, message)
    await removeDead(path)
    await begin(app, address)
  }
}

async function begin(app: FastifyInstance, address: Address): Promise<void> {
  // Fastify keeps what it needs in the options.
  if (!('fd' in address)) return void (await app.listen({ ...address, backlog: BACKLOG }))
  const { server } = app
  const addressOf = server.address.bind(server)
  // Fastify writes into the log where it listens. Of a unix socket that comes as a descriptor Node.js does not know.
  server.address = () => addressOf() ?? `descriptor ${address.fd}`
  // Without a host it would listen twice, for both addresses of localhost.
  await app.listen({ ...address, host: '', backlog: BACKLOG } as FastifyListenOptions)
}

/** Removes a socket that nobody listens on any more. @throws {PlinthError} SOCKET_IN_USE, SOCKET_UNUSABLE */
async function removeDead(path: string): Promise<void> {
  const found = lstatSync(path)
  if (!found.isSocket()) throw errors.SOCKET_UNUSABLE(path, 'what is there is no socket')
  const problem = await problemOf(path)
  if (problem === 'ENOENT') return
  // Whoever does not accept just now, because too many wait, is there all the same.
  if (problem !== 'ECONNREFUSED') throw errors.SOCKET_IN_USE(path)
  // Another that starts at the same time may have replaced it meanwhile.
  const { ino } = lstatSync(path)
  if (ino !== found.ino) throw errors.SOCKET_IN_USE(path)
  unlinkSync(path)
}

/** Why nothing connects to it; `undefined`: something does. */
function problemOf(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code))
    socket.once('connect', () => {
      socket.destroy()
      resolve(undefined)
    })
  })
}
