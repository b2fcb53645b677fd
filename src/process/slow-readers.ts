import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { endRequest, replyOn } from '../http/request-line.ts'
import { socketsOf } from './connections.ts'

// What of the bytes that were written has left the process Node.js tells nowhere else.
type Sending = Socket & {
  readonly _handle?: { readonly bytesWritten: number; readonly writeQueueSize: number } | null
}

/** How often a connection is looked at in the time for which nothing could be written. */
const LOOKS = 4

interface Progress {
  /** Bytes that the client, or the system on its behalf, has taken. */
  taken: number
  /** How often it was looked at since, without any more. */
  looks: number
}

/**
 * Destroys connections of an app that listens whose clients take nothing of what is written to them: each holds its answer in memory.
 * A client that takes any of it, however slowly, is left alone.
 *
 * @param patience milliseconds for which nothing could be written; it may take a quarter more
 */
export function endSlowReaders(app: FastifyInstance, patience = 60_000): void {
  const sockets = socketsOf(app.server)
  const seen = new WeakMap<Socket, Progress>()
  const look = () => {
    for (const socket of sockets) {
      const { bytesWritten = 0, writeQueueSize = 0 } = (socket as Sending)._handle ?? {}
      const taken = bytesWritten - writeQueueSize
      const before = seen.get(socket)
      if (writeQueueSize === 0 || taken !== before?.taken) {
        seen.set(socket, { taken, looks: 0 })
        // Not by the clock: a process that has stood still has not let anybody read.
      } else if (++before.looks >= LOOKS) {
        const reason = `cut off: the client has read nothing of the answer for ${patience} ms`
        const reply = replyOn(socket)
        if (reply) endRequest(reply, { reason })
        else app.log.debug({ address: socket.remoteAddress }, reason)
        socket.destroy()
      }
    }
  }
  const timer = setInterval(look, patience / LOOKS).unref()
  app.server.once('close', () => clearInterval(timer))
}
