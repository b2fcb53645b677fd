import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { isDeepStrictEqual } from 'node:util'
import type { Wire } from '../../src/openapi/client/define-operations.ts'
import { Samples } from './openapi-sample.ts'

type Json = Record<string, unknown>

/** What a server has received. */
interface Received {
  method: string
  path: string
  query: URLSearchParams
  headers: IncomingMessage['headers']
  body: Buffer
}

/** One call of each operation, and what is to come of it. */
interface Trial {
  name: string
  wire: Wire
  input: Json
  /** What is answered, with its type. */
  status: number
  type: string | undefined
  answer: unknown
}

/** A server that is made from an OpenAPI document: it answers each operation with an example of its answer. */
export class DocumentServer {
  readonly #root: Json
  readonly #samples: Samples
  readonly #operations: Readonly<Record<string, Wire>>
  readonly #server = createServer((request, reply) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk) => chunks.push(chunk))
    request.on('end', () => {
      const url = new URL(request.url as string, 'http://x')
      const { method = '', headers } = request
      const body = Buffer.concat(chunks)
      this.#received = { method, path: url.pathname, query: url.searchParams, headers, body }
      const { status, type, answer } = this.#trial as Trial
      const isText = typeof answer === 'string' && type?.startsWith('text/')
      const isSent = isText || answer instanceof Uint8Array
      const text = isSent ? (answer as string) : JSON.stringify(answer)
      if (type === undefined) reply.writeHead(status).end()
      else reply.writeHead(status, { 'content-type': type }).end(text)
    })
  })
  #received: Received | undefined
  #trial: Trial | undefined

  /** @param operations of operations.json */
  constructor(root: Json, operations: Readonly<Record<string, Wire>>) {
    this.#root = root
    this.#samples = new Samples(root)
    this.#operations = operations
  }

  async listen(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  /**
   * Calls each operation once.
   *
   * @param call the resource of that name
   * @returns what has gone wrong, by operation
   */
  async tryAll(
    call: (name: string, input: Json) => Promise<unknown>,
  ): Promise<Map<string, string>> {
    const wrong = new Map<string, string>()
    for (const [name, wire] of Object.entries(this.#operations)) {
      try {
        const trial = this.#trialOf(name, wire)
        this.#trial = trial
        this.#received = undefined
        const result = await call(name, trial.input)
        this.#assertReceived(trial)
        const got = result instanceof Readable ? Buffer.concat(await result.toArray()) : result
        const wanted = trial.type === undefined ? null : trial.answer
        if (!isDeepStrictEqual(got, wanted))
          wrong.set(name, `answered ${JSON.stringify(wanted)}, got ${JSON.stringify(got)}`)
      } catch (error) {
        const { message, errors, upstream } = error as Error & { errors?: unknown; upstream?: Json }
        wrong.set(name, `${message} ${JSON.stringify(errors ?? '')} ${upstream?.problem ?? ''}`)
      }
    }
    return wrong
  }

  #find({ path, method }: Wire): { operation: Json; item: Json } {
    const item = this.#samples.resolve((this.#root.paths as Json)[path])
    return { item, operation: item[method.toLowerCase()] as Json }
  }

  /** Those of the document itself: the operation's in place of the path's. */
  #parameters(wire: Wire): { property: string; parameter: Json }[] {
    const { item, operation } = this.#find(wire)
    const byPlace = new Map<string, Json>()
    for (const one of [item.parameters ?? [], operation.parameters ?? []].flat()) {
      const parameter = this.#samples.resolve(one)
      byPlace.set(`${parameter.in} ${parameter.name}`, parameter)
    }
    const skipped = (one: Json) =>
      one.in === 'cookie' || (one.in === 'header' && one.name === 'Authorization')
    return [...byPlace.values()]
      .filter((one) => !skipped(one))
      .map((parameter) => {
        const renamed = Object.entries(wire.names ?? {}).find(
          ([, name]) => name === parameter.name && parameter.in === 'query',
        )
        return { property: renamed?.[0] ?? String(parameter.name), parameter }
      })
  }

  #trialOf(name: string, wire: Wire): Trial {
    const { operation } = this.#find(wire)
    const parameters = this.#parameters(wire).map(
      ({ property, parameter }) => [property, this.#samples.of(parameter.schema, 3)] as const,
    )
    const input: Json = Object.fromEntries(parameters)
    const sent = this.#bodyOf(wire)
    if (sent !== undefined) Object.assign(input, wire.whole ? { [wire.whole]: sent } : sent)
    const responses = operation.responses as Json
    const status = Object.keys(responses).find((code) => /^2/.test(code)) ?? 'default'
    const { content = {} } = this.#samples.resolve(responses[status] ?? {}) as { content?: Json }
    const types = Object.keys(content)
    const type = types.find((one) => /json/.test(one)) ?? types[0]
    const schema = type && this.#samples.resolve(content[type]).schema
    return {
      name,
      wire,
      input,
      status: /^\d+$/.test(status) ? Number(status) : 200,
      type: type === '*/*' ? (wire.answer === 'text' ? 'text/plain' : 'application/json') : type,
      answer: wire.answer === 'stream' ? BYTES : type && this.#samples.of(schema, 5),
    }
  }

  #bodyOf(wire: Wire): unknown {
    if (!wire.body) return undefined
    const { requestBody } = this.#find(wire).operation
    const content = this.#samples.resolve(requestBody).content as Json
    const types = Object.keys(content)
    const type =
      (wire.type && types.includes(wire.type) ? wire.type : undefined) ??
      types.find((one) => one === 'application/json') ??
      types[0]
    if (wire.body === 'bytes') return BYTES
    const media = this.#samples.resolve(content[type as string])
    const sample = this.#samples.of(media.schema, 4)
    if (wire.body !== 'multipart') return sample
    const { properties = {} } = this.#samples.resolve(media.schema) as { properties?: Json }
    const files = Object.keys(properties).filter((key) => {
      const { type, format, enum: values } = this.#samples.resolve(properties[key])
      return type === 'string' && (format === 'binary' || values === undefined)
    })
    for (const key of files) (sample as Json)[key] = new Blob(['a file'])
    return sample
  }

  /** @throws {Error} where something has not arrived as the document has it */
  #assertReceived({ wire, input }: Trial): unknown {
    const received = this.#received
    if (!received) throw new Error('nothing has arrived')
    const rest = { ...input }
    let path = wire.path
    const query = new URLSearchParams()
    for (const { property, parameter } of this.#parameters(wire)) {
      const value = input[property]
      delete rest[property]
      const name = String(parameter.name)
      if (parameter.in === 'path')
        path = path.replace(`{${name}}`, () => encodeURIComponent(String(value)))
      else if (parameter.in === 'header')
        same(received.headers[name.toLowerCase()], String(value), name)
      else for (const [key, text] of written(name, value, parameter)) query.append(key, text)
    }
    same(received.method, wire.method, 'the method')
    same(received.path, path, 'the path')
    query.sort()
    received.query.sort()
    same(received.query.toString(), query.toString(), 'the query')
    const { body, headers } = received
    const type = headers['content-type']
    const sent = wire.whole ? rest[wire.whole] : rest
    switch (wire.body) {
      case undefined:
        return same([body.length, type], [0, undefined], 'the body')
      case 'json':
        same(type, wire.type ?? 'application/json', 'the type of the body')
        return same(JSON.parse(body.toString()), sent, 'the body')
      case 'form': {
        const { requestBody } = this.#find(wire).operation
        const [media] = Object.values(this.#samples.resolve(requestBody).content as Json)
        const { encoding = {} } = media as { encoding?: Record<string, Json> }
        const pairs = Object.entries(sent as Json).flatMap(([key, value]) =>
          written(key, value, Array.isArray(value) ? (encoding[key] ?? {}) : DEEP),
        )
        return same([...new URLSearchParams(body.toString())], pairs, 'the form')
      }
      case 'multipart':
        return same(
          /^multipart\/form-data; boundary=/.test(type ?? '') && body.includes('a file'),
          true,
          'the file',
        )
      default:
        return same(body, Buffer.from(sent as string), 'the body')
    }
  }
}

const BYTES = Buffer.from([0, 255, 10])
const DEEP = { style: 'deepObject' }

function same(found: unknown, wanted: unknown, what: string): boolean {
  if (isDeepStrictEqual(found, wanted)) return true
  throw new Error(`${what}: sent ${JSON.stringify(wanted)}, arrived ${JSON.stringify(found)}`)
}

function written(name: string, value: unknown, { style, explode }: Json): [string, string][] {
  if (style === 'deepObject') return deep(name, value)
  if (!Array.isArray(value)) return [[name, String(value)]]
  const separator = { spaceDelimited: ' ', pipeDelimited: '|' }[String(style)] ?? ','
  const isOne = explode === false || (style !== undefined && style !== 'form' && explode !== true)
  return isOne ? [[name, value.join(separator)]] : value.map((one) => [name, String(one)])
}

function deep(name: string, value: unknown): [string, string][] {
  if (typeof value !== 'object' || value === null)
    return [[name, value === null ? '' : String(value)]]
  return Object.entries(value).flatMap(([key, one]) => deep(`${name}[${key}]`, one))
}
