import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { gunzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { defineResource } from '../../src/index.ts'
import { createService } from '../helpers/app.ts'
import { makeCertificates } from '../helpers/certificates.ts'
import { poll } from '../helpers/network.ts'
import { serveBytes } from '../helpers/upstream.ts'

const talk = defineResource({
  summary: 'Talk',
  response: Type.String(),
  perform: () => 'talked',
})

const folder = t.testdir()
await makeCertificates(folder)
const path = (name: string) => join(folder, name)

/** What a collector has got by TLS, and from whom. */
interface Got {
  headers: IncomingHttpHeaders
  body: Buffer
  client: string
}

/** A collector with a certificate of its own authority, who wants one of its clients. */
async function serveCollector(t: Test) {
  const pem = (name: string) => readFileSync(path(name))
  const tls = { ca: pem('ca.pem'), cert: pem('server.pem'), key: pem('server.key') }
  const got: Got[] = []
  const server = createServer({ ...tls, requestCert: true }, async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { headers, socket } = request
    const client = `${(socket as TLSSocket).getPeerCertificate().subject.CN}`
    got.push({ headers, body: Buffer.concat(chunks), client })
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, got }
}

/** Variables of the exporter, of all signals or of one. */
const named = (prefix: string, variables: Record<string, string>) =>
  Object.fromEntries(
    Object.entries(variables).map(([name, value]) => [
      `OTEL_EXPORTER_OTLP_${prefix}${name}`,
      value,
    ]),
  )

for (const prefix of ['', 'TRACES_'])
  t.test(`by OTEL_EXPORTER_OTLP_${prefix}…: TLS, who sends, gzip, headers`, async (t) => {
    const { url, got } = await serveCollector(t)
    const wrong = { CERTIFICATE: 'none', CLIENT_CERTIFICATE: 'none', CLIENT_KEY: 'none' }
    const variables = {
      // Of those that both have, that of traces counts.
      ...named('', { ...wrong, COMPRESSION: 'none', HEADERS: 'x-tenant=one,x-all=all' }),
      ...(prefix === '' && named('', { HEADERS: 'x-all=all' })),
      ...named(prefix, {
        CERTIFICATE: path('ca.pem'),
        CLIENT_CERTIFICATE: path('client.pem'),
        CLIENT_KEY: path('client.key'),
        COMPRESSION: 'gzip',
        PROTOCOL: 'http/json',
        HEADERS: 'x-tenant=two%20three,x-all=all',
      }),
      OTEL_EXPORTER_OTLP_ENDPOINT: url,
    }
    const { app } = await createService(t, { talk }, { variables })
    await app.inject('/things')
    await app.close()
    // Closing waits for it two seconds at most.
    await poll(async () => got.length > 0)
    t.match(got, [
      {
        client: 'client',
        headers: {
          'content-encoding': 'gzip',
          'content-type': 'application/json',
          'x-tenant': 'two three',
          'x-all': 'all',
        },
      },
    ])
    const { resourceSpans } = JSON.parse(gunzipSync(got[0]?.body as Buffer).toString())
    t.match(
      resourceSpans[0].scopeSpans[0].spans.map(({ name }: { name: string }) => name),
      ['things.talk', 'GET /things'],
    )
  })

/** Makes requests until the log says that spans are lost, and why. */
async function loseSpans(t: Test, variables: Record<string, string>): Promise<string> {
  const all = { OTEL_BSP_SCHEDULE_DELAY: '1', ...variables }
  const { app, logs } = await createService(t, { talk }, { variables: all })
  const lost = () => logs.find(({ msg }) => msg.startsWith('spans are lost'))
  await app.inject('/things')
  await poll(async () => lost() !== undefined)
  return `${lost()?.problem}`
}

t.test('whom no known authority vouches for gets no spans', async (t) => {
  const { url, got } = await serveCollector(t)
  const problem = await loseSpans(t, { OTEL_EXPORTER_OTLP_ENDPOINT: url })
  t.match(problem, /certificate/i)
  t.strictSame(got, [])
})

t.test('the timeout of traces is less than that of all signals', async (t) => {
  const problem = await loseSpans(t, {
    OTEL_EXPORTER_OTLP_ENDPOINT: await serveBytes(t, () => {}),
    OTEL_EXPORTER_OTLP_TIMEOUT: '1h',
    OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: '50ms',
  })
  t.match(problem, /timed out/i)
})

t.test('files that cannot be used are refused before anything starts', async (t) => {
  writeFileSync(path('text.pem'), 'no certificate')
  const start = (variables: Record<string, string>) =>
    createService(t, { talk }, { variables: named('', { ENDPOINT: 'https://a', ...variables }) })
  const client = { CLIENT_CERTIFICATE: path('client.pem') }
  for (const [variables, told] of [
    [
      { CERTIFICATE: path('none.pem') },
      /^.*\n? *OTEL_EXPORTER_OTLP_CERTIFICATE: .*none\.pem cannot be read \(ENOENT\)/m,
    ],
    [{ CERTIFICATE: path('text.pem') }, /tracing\.tls\.ca .* \(OTEL_EXPORTER_OTLP_CERTIFICATE\)/],
    [client, /tracing\.tls\.key is missing, expected cert and its key/],
    [
      { ...client, CLIENT_KEY: path('server.key') },
      /tracing\.tls\.key is an object, expected cert and its key/,
    ],
    [{ CLIENT_KEY: path('client.key') }, /tracing\.tls\.cert is missing/],
    [{ PROTOCOL: 'grpc' }, /OTEL_EXPORTER_OTLP_PROTOCOL: .*http\/protobuf or http\/json/],
  ] as [Record<string, string>, RegExp][])
    await t.rejects(start(variables), { message: told })
})
