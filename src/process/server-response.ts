import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

// See client-error.ts: an import would load more than is used.
const { ServerResponse } = process.getBuiltinModule('node:http')

/** How long the rest of a request is read that has been answered already: milliseconds, and bytes. */
const LINGER = { total: 30_000, pause: 5000, bytes: 64 * 1024 * 1024 }

const lingering = new WeakSet<Socket>()

/** Whether nothing is expected of the connection any more but that its client reads the answer. */
export function isLingering(socket: Socket): boolean {
  return lingering.has(socket)
}

/**
 * Closes the connection when its client has read what was written: until it hangs up, what it still sends is read and
 * thrown away, within bounds. To close it at once while there is something to read is to reset it, and a client that
 * still writes then never sees the answer.
 */
export function linger(socket: Socket): void {
  lingering.add(socket)
  socket.end()
  const { bytesRead } = socket
  const began = performance.now()
  let last = { bytesRead, at: began }
  const timer = setInterval(() => {
    const now = performance.now()
    if (socket.bytesRead > last.bytesRead) last = { bytesRead: socket.bytesRead, at: now }
    const isLate = now - began > LINGER.total || now - last.at > LINGER.pause
    if (isLate || last.bytesRead - bytesRead > LINGER.bytes) socket.destroy()
  }, 100)
  socket.once('close', () => clearInterval(timer))
}

/** What Node.js' own lacks for answers that come early or end badly to reach their client as that. */
export class Response<
  Request extends IncomingMessage = IncomingMessage,
> extends ServerResponse<Request> {
  /** Called when the answer has been written, before Node.js closes the connection where it was the last. */
  override detachSocket(socket: Socket): void {
    super.detachSocket(socket)
    if (this.req.complete) return
    // What has begun to read it may have stopped.
    this.req.unpipe()
    this.req.resume()
    const late = setTimeout(() => socket.destroy(), LINGER.total)
    const end = () => {
      clearTimeout(late)
      socket.off('close', end)
    }
    this.req.once('end', end)
    socket.once('close', end)
    const { destroySoon } = socket
    socket.destroySoon = () => {
      socket.destroySoon = destroySoon
      if (this.req.complete) socket.destroySoon()
      else linger(socket)
    }
  }

  /** A body over HTTP/1.0 ends with its connection: only a reset tells that it is not complete. */
  override destroy(error?: Error): this {
    const { socket } = this
    const { httpVersionMajor, httpVersionMinor } = this.req
    const isCut = this.headersSent && !this.writableFinished
    // Only TCP knows resets: what has no address is no such connection.
    if (socket?.remoteAddress && isCut && httpVersionMajor === 1 && httpVersionMinor === 0)
      socket.resetAndDestroy()
    return super.destroy(error)
  }
}
