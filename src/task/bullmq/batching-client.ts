import type { Socket } from 'node:net'
import { RedisClient } from '../../config/redis-client.ts'

// Not more: Redis is to begin with the first while we make the next.
const TOGETHER = 8

/**
 * A client that sends up to {@link TOGETHER} commands of one turn of the event loop in one write, the dearest part of a
 * command. With `enableAutoPipelining` they would wait until those before have been answered. Not for workers: what they
 * have to say of a task that has run, nobody should hear later.
 */
export class BatchingClient extends RedisClient {
  #held = 0

  override sendCommand(...[command, stream]: Parameters<RedisClient['sendCommand']>): unknown {
    // What comes with a stream is part of a pipeline, which is one write.
    if (stream || this.status !== 'ready') return super.sendCommand(command, stream)
    const socket = this.stream as Socket
    if (this.#held === 0) {
      socket.cork()
      process.nextTick(() => this.#release(socket))
    }
    this.#held++
    const sent = super.sendCommand(command)
    if (this.#held === TOGETHER) this.#release(socket)
    return sent
  }

  #release(socket: Socket): void {
    if (this.#held === 0) return
    this.#held = 0
    socket.uncork()
  }
}
