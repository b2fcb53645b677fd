import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

// Node.js keeps there what it is answering on a connection.
type HttpSocket = Socket & { _httpMessage?: ServerResponse | null }

/**
 * Watches the connections that `server` gets from now on.
 *
 * @returns makes every answer that has not begun, and every later one, the last on its connection: a client that
 *   is told so sends no further request into a connection that closes
 */
export function watchConnections(server: Server): () => void {
  const sockets = new Set<HttpSocket>()
  server.on('connection', (socket: HttpSocket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return function hangUp() {
    for (const { _httpMessage } of sockets) if (_httpMessage) makeLast(_httpMessage)
    server.prependListener('request', (_request, response) => makeLast(response))
  }
}

function makeLast(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('connection', 'close')
}
