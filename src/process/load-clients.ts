import { Agent, type ClientRequest, request as open } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'

// Beside src/process/rollout-test.ts the long proofs of the kit use it (prove/).

/** A request as clients make it, again and again. */
export interface LoadRequest {
  /** `http://127.0.0.1:3000/cities` */
  readonly url: string
  /** Default GET. */
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
}

/** How a client behaves: it keeps its connection, makes one for each request, or also sends and reads slowly on it. */
export type Habit = 'kept' | 'fresh' | 'slow'

/** What came of a request. */
export interface LoadAnswer {
  readonly request: LoadRequest
  readonly habit: Habit
  /** When it was made: milliseconds, as `performance.now()`. */
  readonly began: number
  /** Milliseconds. */
  readonly took: number
  /** Why it counts as failed: its status and what it says, or what broke. */
  readonly problem?: string | undefined
}

export interface LoadOptions {
  /** How many clients there are of each kind. */
  readonly clients: Readonly<Partial<Record<Habit, number>>>
  readonly next: () => LoadRequest
  /** How many requests all of them make in a second; default: each makes the next one soon after an answer. */
  readonly rate?: number | undefined
  readonly onAnswer?: (answer: LoadAnswer) => void
}

/** Milliseconds that a request may take. */
const PATIENCE = 30_000
/** Milliseconds between the requests of one client that has no rate. */
const REST = 2
/** Milliseconds between the parts of what is sent slowly, and before it is read. */
const SLOWNESS = 50
const PARTS = 4

/** Clients that ask for one thing after the other, until they are stopped. */
export class Load {
  /** Why requests have failed. */
  readonly failures: string[] = []
  requests = 0
  readonly #options: LoadOptions
  readonly #kept = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
  readonly #clients: Promise<void>[]
  #times: number[] = []
  #stopped = false

  constructor(options: LoadOptions) {
    this.#options = options
    const habits = Object.entries(options.clients) as [Habit, number][]
    const all = habits.flatMap(([habit, count]) => Array.from({ length: count }, () => habit))
    // Milliseconds between two requests of one of them.
    const interval = options.rate ? (all.length / options.rate) * 1000 : 0
    this.#clients = all.map((habit, i) => this.#run(habit, interval, (interval * i) / all.length))
  }

  /** Loads for some seconds. Returns how long 99 of 100 requests took at most then, in ms. */
  async p99(seconds: number): Promise<number> {
    this.#times = []
    await sleep(seconds * 1000)
    const sorted = this.#times.toSorted((a, b) => a - b)
    return sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#clients)
    this.#kept.destroy()
  }

  async #run(habit: Habit, interval: number, offset: number): Promise<void> {
    let due = performance.now() + offset
    while (!this.#stopped) {
      // Whoever is late goes on from there: a server that was slow is not asked for all of it at once.
      due = Math.max(due, performance.now())
      await sleep(interval ? Math.max(0, due - performance.now()) : REST)
      // Where this process stood still, what was closed meanwhile is read first.
      await turn()
      if (this.#stopped) return
      due += interval
      const answer = await makeRequest(this.#options.next(), habit, this.#kept)
      this.#times.push(answer.took)
      this.requests += 1
      if (answer.problem) this.failures.push(answer.problem)
      this.#options.onAnswer?.(answer)
    }
  }
}

/** Makes one request. Never rejects. @param kept where connections are kept */
export async function makeRequest(
  request: LoadRequest,
  habit: Habit,
  kept?: Agent,
): Promise<LoadAnswer> {
  const began = performance.now()
  const answered = habit === 'slow' ? slowly(request) : promptly(request, habit === 'kept' && kept)
  const problem = await answered.catch((error: NodeJS.ErrnoException) => error.code ?? `${error}`)
  return { request, habit, began, took: performance.now() - began, problem }
}

/** @returns what is wrong with its answer */
function promptly(request: LoadRequest, agent: Agent | false | undefined) {
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>()
  const { url, method = 'GET', headers = {}, body } = request
  const signal = AbortSignal.timeout(PATIENCE)
  const asked: ClientRequest = open(url, { method, agent: agent ?? false, headers, signal })
  asked.once('error', reject)
  asked.once('response', (response) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.once('error', reject)
    response.once('end', () => resolve(problemOf(response.statusCode ?? 0, chunks)))
  })
  asked.end(body)
  return promise
}

/** The same on a socket, where each part of it takes its time. */
async function slowly({ url, method = 'GET', headers = {}, body = '' }: LoadRequest) {
  const { hostname, port, host, pathname, search } = new URL(url)
  const length = body.length > 0 ? { 'content-length': `${Buffer.byteLength(body)}` } : {}
  const all = { host, connection: 'close', ...length, ...headers }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  const head = `${method} ${pathname}${search} HTTP/1.1\r\n${lines.join('')}\r\n`
  const socket = connect({ host: hostname, port: Number(port) })
  const ended = Promise.withResolvers<void>()
  socket.setTimeout(PATIENCE, () => socket.destroy(new Error('no answer')))
  socket.once('error', ended.reject)
  // It may end before it has been sent all.
  socket.once('end', ended.resolve).once('close', ended.resolve)
  ended.promise.catch(() => {})
  try {
    for (const part of [...parts(Buffer.from(head)), ...parts(Buffer.from(body))]) {
      socket.write(part)
      await Promise.race([sleep(SLOWNESS), ended.promise])
    }
    const chunks: Buffer[] = []
    socket.on('data', (chunk) => chunks.push(chunk))
    await ended.promise
    return problemOfText(Buffer.concat(chunks))
  } finally {
    socket.destroy()
  }
}

function* parts(bytes: Buffer): Generator<Buffer> {
  const size = Math.ceil(bytes.length / PARTS)
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

/** What is wrong with an answer as it came over the wire, which ended with its connection. */
function problemOfText(text: Buffer): string | undefined {
  const end = text.indexOf('\r\n\r\n')
  const head = text.toString('latin1', 0, Math.max(end, 0))
  const [, status] = /^HTTP\/1\.1 (\d{3})/.exec(head) ?? []
  if (!status) return 'the connection was closed without an answer'
  const body = text.subarray(end + 4)
  const [, length] = /^content-length: *(\d+)/im.exec(head) ?? []
  const isWhole =
    length === undefined
      ? !/^transfer-encoding: *chunked/im.test(head) ||
        body.toString('latin1').endsWith('0\r\n\r\n')
      : body.length === Number(length)
  return isWhole ? problemOf(Number(status), [body]) : 'the answer was cut off'
}

function problemOf(status: number, chunks: readonly Buffer[]): string | undefined {
  if (status >= 200 && status < 300) return undefined
  const said = /"(?:message|detail)":"([^"]{1,200})/.exec(Buffer.concat(chunks).toString())?.[1]
  return said ? `${status} ${said}` : `${status}`
}
