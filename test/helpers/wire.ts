import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

/** An answer as it came over the wire. */
export interface Answer {
  status: number
  /** Names in lower case. */
  headers: Record<string, string>
  body: string
  /** The body read as JSON. */
  json: () => Record<string, unknown> & { data: unknown; errors: unknown }
}

/** Starts to listen on a free port of this machine. Of a thousand that connect at once none is reset because the system's queue is full. */
export async function listen(app: FastifyInstance): Promise<number> {
  return Number(new URL(await app.listen({ host: '127.0.0.1', port: 0, backlog: 4096 })).port)
}

/** Opens a connection that collects what it receives. */
export async function open(port: number): Promise<{ socket: Socket; received: () => string }> {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  // A server may reset a connection whose sender does not stop: what it said before has been collected.
  socket.on('error', () => {})
  await once(socket, 'connect')
  return { socket, received: () => Buffer.concat(chunks).toString('latin1') }
}

/** Sends `bytes` over a connection of its own and waits until the server has closed its side. */
export async function send(port: number, bytes: string | Buffer): Promise<string> {
  const { socket, received } = await open(port)
  const over = Promise.race([once(socket, 'end'), once(socket, 'close')])
  socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  await over
  socket.destroy()
  return received()
}

/** The text of a request that asks to close the connection after it. */
export function request(line: string, headers: Record<string, string> = {}, body = ''): string {
  const length = body ? { 'Content-Length': String(Buffer.byteLength(body, 'latin1')) } : {}
  const all = { Host: 'test', Connection: 'close', ...length, ...headers }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${line} HTTP/1.1\r\n${lines.join('')}\r\n${body}`
}

/** The first answer in `text`. */
export function parse(text: string): Answer {
  const [head = '', ...rest] = text.split('\r\n\r\n')
  const [first = '', ...lines] = head.split('\r\n')
  const headers = lines.map((line) => {
    const [name = '', ...value] = line.split(': ')
    return [name.toLowerCase(), value.join(': ')]
  })
  const body = Buffer.from(rest.join('\r\n\r\n'), 'latin1').toString()
  return {
    status: Number(first.split(' ')[1]),
    headers: Object.fromEntries(headers),
    body,
    json: () => JSON.parse(body),
  }
}

/** {@link send} of a {@link request}, and its answer. */
export async function ask(
  port: number,
  line: string,
  headers?: Record<string, string>,
  body?: string,
): Promise<Answer> {
  return parse(await send(port, request(line, headers, body)))
}
