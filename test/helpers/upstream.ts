import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import type { Test } from 'tap'

/** A request that an upstream has got. */
export interface Got {
  method: string
  url: string
  headers: IncomingMessage['headers']
  body: Buffer
}

/** Another system: an HTTP server of the test, which ends with it, and what it has been asked. */
export interface Upstream {
  url: string
  got: Got[]
}

/** Answers one request, whose body has been read. */
export type AnswerOne = (response: ServerResponse, got: Got, count: number) => void

/** Serves on a free port of this machine. */
export async function serveUpstream(t: Test, answer: AnswerOne): Promise<Upstream> {
  const got: Got[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request) chunks.push(chunk)
    } catch {
      // Who asks has gone.
    }
    const { method = '', url = '', headers } = request
    const one = { method, url, headers, body: Buffer.concat(chunks) }
    got.push(one)
    answer(response, one, got.length)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, got }
}

export function answerJson(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

/** A server that does with each connection what `handle` says, which no HTTP server would. */
export async function serveBytes(t: Test, handle: (socket: Socket) => void): Promise<string> {
  const open = new Set<Socket>()
  const server = createTcpServer((socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket)).on('error', () => {})
    handle(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of open) socket.destroy()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Serves by TLS as `localhost`, with a certificate that nobody knows. */
export async function serveTls(
  t: Test,
  answer = (response: ServerResponse): unknown => response.end(),
): Promise<{ url: string; ca: string }> {
  const pem = readFileSync(new URL('../fixtures/localhost.pem', import.meta.url), 'utf8')
  const server = createTlsServer({ key: pem, cert: pem }, (_, response) => void answer(response))
  server.listen(0, 'localhost')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `https://localhost:${(server.address() as AddressInfo).port}`, ca: pem }
}
