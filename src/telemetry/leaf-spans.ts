import { tracingChannel, channel as untypedChannel } from 'node:diagnostics_channel'
import { type Attributes, SpanKind } from '@opentelemetry/api'
import type { SqlMessage } from '../database/dialect/sqlite/driver.ts'
import { redactSql } from './redact-sql.ts'
import { current, type Work } from './span.ts'

// What the drivers and undici tell of what they do, as spans within the one that is under way.

/** What is begun within a span. */
export interface Listener {
  subscribe(): void
  unsubscribe(): void
}

/** What has nothing within it. */
function leaves<Message extends { error?: unknown }>(
  name: string,
  ends: 'end' | 'asyncStart',
  describe: (message: Message) => { name: string; attributes: Attributes } | undefined,
): Listener {
  const channel = tracingChannel<unknown, Message>(name)
  const begun = new WeakMap<object, Work>()
  const end = (message: Message) => void begun.get(message)?.span.end()
  const nothing = () => {}
  const subscribers = {
    start(message: Message) {
      const around = current()
      if (!around) return
      const told = describe(message)
      if (told) begun.set(message, around.child(told.name, SpanKind.CLIENT, told.attributes))
    },
    end: ends === 'end' ? end : nothing,
    asyncStart: ends === 'asyncStart' ? end : nothing,
    asyncEnd: nothing,
    error: (message: Message) => void begun.get(message)?.fail(message.error),
  }
  return {
    subscribe: () => void channel.subscribe(subscribers),
    unsubscribe: () => void channel.unsubscribe(subscribers),
  }
}

interface MysqlMessage {
  readonly query: string
  readonly database: string
  readonly serverAddress: string
  readonly serverPort?: number
  readonly error?: unknown
}

function mysql({ query, database, serverAddress, serverPort }: MysqlMessage) {
  const { name, attributes } = statement('mysql', query)
  attributes['db.namespace'] = database
  attributes['server.address'] = serverAddress
  if (serverPort !== undefined) attributes['server.port'] = serverPort
  return { name, attributes }
}

function statement(system: 'mysql' | 'sqlite', sql: string) {
  const text = redactSql(sql, system === 'mysql' ? '`' : '"')
  const [verb = 'SQL'] = /[a-z]+/i.exec(text) ?? []
  const attributes: Attributes = { 'db.system.name': system, 'db.query.text': text }
  return { name: verb.toUpperCase(), attributes }
}

interface RedisMessage {
  readonly command?: string
  readonly batchSize?: number
  readonly serverAddress: string
  readonly error?: unknown
}

/** What a connection does for itself when it is made, which may be while something asks for it. */
const OWN = new Set<unknown>(['auth', 'client', 'hello', 'info', 'readonly', 'select'])

/** Neither keys nor values: the id of a session is a key. */
function redis({ command, batchSize, serverAddress }: RedisMessage) {
  if (OWN.has(command)) return undefined
  const attributes: Attributes = { 'db.system.name': 'redis', 'server.address': serverAddress }
  if (batchSize !== undefined) attributes['db.operation.batch.size'] = batchSize
  return { name: command?.toUpperCase() ?? 'MULTI', attributes }
}

/** As undici tells of it: that of Node.js, `fetch`, too. */
interface HttpRequest {
  readonly origin?: string | URL
  readonly method?: string
  readonly path: string
  readonly headers: unknown
  addHeader?(name: string, value: string): void
}

/** Requests to other systems, each try by itself. Who is asked continues the trace. */
function upstream(): Listener {
  const begun = new WeakMap<HttpRequest, Work>()
  const subscribers: Record<string, (message: never) => void> = {
    create({ request }: { request: HttpRequest }) {
      const around = current()
      if (!around) return
      const { method = 'GET', origin = '', path } = request
      const work = around.child(method, SpanKind.CLIENT, {
        'http.request.method': method,
        'url.full': `${origin}${path.split('?', 1)[0]}`,
      })
      begun.set(request, work)
      setHeader(request, 'traceparent', work.traceparent)
    },
    headers({ request, response }: { request: HttpRequest; response: { statusCode: number } }) {
      const work = begun.get(request)
      work?.span.setAttribute('http.response.status_code', response.statusCode)
      if (response.statusCode >= 400) work?.fail({ code: String(response.statusCode) })
    },
    trailers: ({ request }: { request: HttpRequest }) => void begun.get(request)?.span.end(),
    error({ request, error }: { request: HttpRequest; error: unknown }) {
      const work = begun.get(request)
      work?.fail(error)
      work?.span.end()
    },
  }
  const all = Object.entries(subscribers).map(
    ([name, subscriber]) => [untypedChannel(`undici:request:${name}`), subscriber] as const,
  )
  return {
    subscribe() {
      for (const [channel, subscriber] of all) channel.subscribe(subscriber as never)
    },
    unsubscribe() {
      for (const [channel, subscriber] of all) channel.unsubscribe(subscriber as never)
    },
  }
}

/** In place of one that is there: of the span around this one. */
function setHeader(request: HttpRequest, name: string, value: string): void {
  const { headers } = request
  const at = Array.isArray(headers) ? headers.indexOf(name) : -1
  if (at >= 0 && at % 2 === 0) (headers as string[])[at + 1] = value
  else request.addHeader?.(name, value)
}

/** What is listened to while an app traces, beside tasks. Of what is done in no trace that is kept only that is looked at. */
export const leafListeners: readonly Listener[] = [
  leaves<MysqlMessage>('mysql2:query', 'asyncStart', mysql),
  leaves<MysqlMessage>('mysql2:execute', 'asyncStart', mysql),
  leaves<SqlMessage>('plinth:sqlite', 'end', ({ sql }) => statement('sqlite', sql)),
  leaves<RedisMessage>('ioredis:command', 'asyncStart', redis),
  leaves<RedisMessage>('ioredis:batch', 'asyncStart', redis),
  upstream(),
]
