import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { stopWork } from '../http/deadline.ts'
import { isLingering } from './server-response.ts'

// Node.js keeps there what it is answering on a connection.
type HttpSocket = Socket & { _httpMessage?: ServerResponse | null }

const known = new WeakMap<Server, Set<HttpSocket>>()

/** The connections that there are of those that `server` has got since this was first called for it. */
export function socketsOf(server: Server): ReadonlySet<HttpSocket> {
  const before = known.get(server)
  if (before) return before
  const sockets = new Set<HttpSocket>()
  known.set(server, sockets)
  server.on('connection', (socket: HttpSocket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return sockets
}

/** The connections that a server has. */
export interface Connections {
  /**
   * Makes every answer that has not begun, and every later one, the last on its connection: a client that is
   * told so sends no further request into a connection that closes.
   */
  hangUp(): void
  /** How many there are. */
  count(): number
  /** The requests that have not been answered completely, without their queries, which may hold secrets: `GET /things`. */
  underWay(): string[]
  /** Closes those on which no request is under way, and ends event streams: by themselves they do not. */
  closeIdle(): void
}

/**
 * Watches the connections that `server` gets from now on. Those on which an answer is still being sent are none that
 * `closeIdleConnections` closes then, whoever calls it: Node.js takes an answer that has been written for one that has
 * arrived, and would cut it off.
 */
export function watchConnections(server: Server): Connections {
  const sockets = socketsOf(server)
  const closeIdle = server.closeIdleConnections.bind(server)
  server.closeIdleConnections = () => {
    const onTheirWay = Array.from(sockets, (socket) => socket._httpMessage).filter(isOnItsWay)
    for (const message of onTheirWay) message.finished = false
    closeIdle()
    for (const message of onTheirWay) message.finished = true
  }
  const stopped = new WeakMap<ServerResponse, number>()
  const endStreams = () => {
    for (const { _httpMessage } of sockets) {
      if (_httpMessage && isEventStream(_httpMessage)) endStream(_httpMessage, stopped)
    }
  }
  return {
    count: () => sockets.size,
    underWay: () =>
      Array.from(sockets, (socket) => socket._httpMessage?.req).flatMap((request) =>
        request ? [`${request.method} ${request.url?.split('?', 1)[0]}`] : [],
      ),
    hangUp() {
      endStreams()
      for (const { _httpMessage } of sockets) if (_httpMessage) makeLast(_httpMessage)
      server.prependListener('request', (_request, response) => makeLast(response))
    },
    closeIdle() {
      endStreams()
      server.closeIdleConnections()
      // To Node.js 22 a connection is not idle before its first request.
      for (const socket of sockets) {
        if (socket.bytesRead === 0 || isLingering(socket)) socket.destroy()
      }
    },
  }
}

// What was given to `writeHead` alone is nowhere else.
function isEventStream(message: ServerResponse & { _header?: string | null }): boolean {
  return /^content-type: *text\/event-stream/im.test(message._header ?? '')
}

/** Milliseconds that an event stream has to end by itself, once its signal has aborted. */
const LAST_WORDS = 1000

function endStream(response: ServerResponse, stopped: WeakMap<ServerResponse, number>): void {
  const since = stopped.get(response)
  stopped.set(response, since ?? performance.now())
  const isWaitedFor =
    since === undefined ? stopWork(response) : performance.now() - since < LAST_WORDS
  // Its client connects again, then to another process.
  if (!isWaitedFor) response.socket?.destroySoon()
}

/** Written, and not sent: what `finished` means to Node.js is that it was written. */
function isOnItsWay(message: ServerResponse | null | undefined): message is ServerResponse {
  return message?.writableEnded === true && !message.writableFinished
}

function makeLast(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('connection', 'close')
}
