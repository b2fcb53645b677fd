import { Duplex } from 'node:stream'
import t from 'tap'
import { standardEnvelope } from '../../src/http/envelope.ts'
import { createClientErrorHandler } from '../../src/process/client-error.ts'
import { parse } from '../helpers/wire.ts'

/** Hands an error with `code` on `socket` to the handler; returns what it wrote and logged. */
async function handle(code: string, properties: object = {}) {
  const written: string[] = []
  const logged: object[] = []
  const socket = Object.assign(
    new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        written.push(String(chunk))
        done()
      },
    }),
    properties,
  )
  socket.on('error', () => {})
  const over = new Promise((resolve) => socket.once('finish', resolve).once('close', resolve))
  const error = Object.assign(new Error('parse error'), { code })
  const log = { info: (line: object) => logged.push(line) }
  createClientErrorHandler(standardEnvelope).call({ log } as never, error, socket as never)
  // One that is late has until then.
  await new Promise(setImmediate)
  if (written.length > 0 || socket.destroyed) await over
  const { destroyed } = socket
  socket.destroy()
  return { answer: written.join(''), logged, destroyed }
}

t.test('each kind of error has its status and code', async (t) => {
  for (const [code, status, name, reason] of [
    ['HPE_HEADER_OVERFLOW', 431, 'HEADERS_TOO_LARGE', 'Request Header Fields Too Large'],
    ['ERR_HTTP_REQUEST_TIMEOUT', 408, 'REQUEST_TIMEOUT', 'Request Timeout'],
    ['HPE_INVALID_METHOD', 400, 'BAD_REQUEST', 'Bad Request'],
  ] as const) {
    const { answer, logged, destroyed } = await handle(code)
    t.ok(answer.startsWith(`HTTP/1.1 ${status} ${reason}\r\n`), code)
    const { json, headers, body } = parse(answer)
    t.match(json(), { result: false, code: name, errors: null, trace_id: null })
    t.equal(headers['content-length'], String(Buffer.byteLength(body)))
    const told = `${json().message} (${code})`
    t.match(logged, [
      { reason: told, code: name, status, bytes: answer.length, request_id: json().request_id },
    ])
    t.notOk(destroyed, 'its client, which may still write, reads that first')
  }
})

t.test('a connection that the other side has reset is left alone', async (t) => {
  const { answer, logged } = await handle('ECONNRESET')
  t.strictSame([answer, logged], ['', []])
})

t.test('nothing is written where nobody reads, or into an answer that has begun', async (t) => {
  for (const properties of [{ writable: false }, { _httpMessage: { headersSent: true } }]) {
    const { answer, destroyed } = await handle('HPE_INVALID_METHOD', properties)
    t.equal(answer, '')
    t.ok(destroyed)
  }
  const { answer } = await handle('HPE_INVALID_METHOD', { _httpMessage: { headersSent: false } })
  t.equal(parse(answer).status, 400)
})
