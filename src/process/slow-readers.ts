import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { endRequest, replyOn } from '../http/request-line.ts'

// What of the bytes that were written has left the process Node.js tells nowhere else.
type Sending = Socket & {
  readonly _handle?: { readonly bytesWritten: number; readonly writeQueueSize: number } | null
}

interface Progress {
  /** Bytes that the client, or the system on its behalf, has taken. */
  taken: number
  since: number
}

/**
 * Destroys connections of an app that listens whose clients take nothing of what is written to them: each holds its answer in memory.
 * A client that takes any of it, however slowly, is left alone.
 *
 * @param patience milliseconds for which nothing could be written; it may take a quarter more
 */
export function endSlowReaders(app: FastifyInstance, patience = 60_000): void {
  const sockets = new Map<Sending, Progress>()
  app.server.on('connection', (socket: Socket) => {
    sockets.set(socket, { taken: 0, since: 0 })
    socket.once('close', () => sockets.delete(socket))
  })
  const look = () => {
    const now = performance.now()
    for (const [socket, progress] of sockets) {
      const { bytesWritten = 0, writeQueueSize = 0 } = socket._handle ?? {}
      const taken = bytesWritten - writeQueueSize
      if (writeQueueSize === 0 || taken !== progress.taken) {
        progress.taken = taken
        progress.since = now
      } else if (now - progress.since >= patience) {
        const reason = `cut off: the client has read nothing of the answer for ${patience} ms`
        const reply = replyOn(socket)
        if (reply) endRequest(reply, { reason })
        else app.log.debug({ address: socket.remoteAddress }, reason)
        socket.destroy()
      }
    }
  }
  let timer: NodeJS.Timeout | undefined
  app.addHook('onListen', (done) => {
    timer ??= setInterval(look, patience / 4).unref()
    done()
  })
  app.addHook('onClose', async () => clearInterval(timer))
}
