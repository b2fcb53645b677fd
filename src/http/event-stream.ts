import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { TIMER, toMilliseconds } from '../duration.ts'
import { errors } from '../errors.ts'
import { type Context, userIdOf } from '../resource/context.ts'
import type { AnyDefined } from '../resource/contract.ts'
import { toPlinthError } from '../resource/failure.ts'
import type { ServerEvent, StreamSchema } from '../resource/stream.ts'
import { compileSerializerLater } from '../schema/serialize.ts'
import type { Envelope } from './envelope.ts'
import { logCut } from './request-line.ts'

type Events = AsyncIterable<ServerEvent>

const BEATS = { ...TIMER, least: 1 }

/** Makes a stream of the events that `perform` has returned. */
type EventWriter = (events: Events, context: Context) => Readable

/** Of a resource whose response is not `events()`: undefined. */
export function createEventWriter(
  name: string,
  resource: AnyDefined,
  { app, envelope }: { app: FastifyInstance; envelope: Envelope },
): EventWriter | undefined {
  const { events: settings } = resource.response as StreamSchema
  if (!settings) return undefined
  const refuse = (problem: string) => errors.RESOURCE_INVALID(name, problem)
  const heartbeat = toMilliseconds(settings.heartbeat, 'the heartbeat of its events', BEATS, refuse)
  const { response } = app.compiled.of(resource)
  const { $defs } = response
  const schema = { ...response.properties?.data, ...($defs !== undefined && { $defs }) }
  const writeData = compileSerializerLater({ schema })
  const { responses } = app
  let written = 0
  const write = (event: ServerEvent): string => {
    // Where it is not strict, some are looked at: see route.ts.
    if (responses.strict || written++ % LOOK === 0) responses.check(resource, name, event)
    return frame(event, writeData(event.data))
  }
  return (events, context) => {
    const { request, reply } = context as Context & Answering
    // Buffers on the way, and caches, would keep what is to be known at once.
    reply.type('text/event-stream').header('cache-control', 'no-store')
    reply.header('x-accel-buffering', 'no')
    const iterator = events[Symbol.asyncIterator]()
    if (request.method === 'HEAD') {
      leave(iterator)
      return Readable.from([])
    }
    const tell = (error: unknown): string => {
      logCut(error, reply)
      const told = toPlinthError(error, app, reply)
      const place = { request, requestId: request.id, user: userIdOf(request) }
      if (told.statusCode >= 500) app.observer?.failed?.(error, place)
      return frame({ event: FAILURE }, JSON.stringify(envelope.failure(told, request)))
    }
    return new EventStream(iterator, { heartbeat, signal: context.signal, write, tell })
  }
}

interface Answering {
  request: FastifyRequest
  reply: FastifyReply
}

const LOOK = 100

/** Comments, which clients skip: the first one has the head of the answer sent. */
const OPENED = ': open\n\n'
const BEAT = ': \n\n'
/** Another one, for services that follow them: what ends without it was cut off, and goes on elsewhere. */
export const END_OF_EVENTS = ': end'

/** The event that tells of a failure. */
export const FAILURE = 'failure'

/** An event as it is sent. What has lines of its own would be other fields, or another event. */
export function frame({ id, event, retry }: Omit<ServerEvent, 'data'>, data: string): string {
  const fields = { id, event, retry }
  const lines = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${String(value).replaceAll(/[\0\r\n]/g, '')}\n`],
  )
  return `${lines.join('')}data: ${data}\n\n`
}

interface EventStreamOptions {
  /** Milliseconds. */
  heartbeat: number
  /** Ends it when it aborts: the client has left, or the process ends. */
  signal: AbortSignal
  write: (event: ServerEvent) => string
  /** The last event, where there will be no others because of `error`. */
  tell: (error: unknown) => string
}

/** The bytes of events, of which the next one is asked for when the last one has been taken. */
class EventStream extends Readable {
  readonly #events: AsyncIterator<ServerEvent>
  readonly #options: EventStreamOptions
  readonly #heart: NodeJS.Timeout
  readonly #end = (): void => this.#finish()
  #isReading = false
  #isOver = false

  constructor(events: AsyncIterator<ServerEvent>, options: EventStreamOptions) {
    super()
    this.#events = events
    this.#options = options
    // Who reads nothing is sent nothing more.
    this.#heart = setInterval(() => {
      if (!this.#isOver && this.readableLength === 0) this.push(BEAT)
    }, options.heartbeat).unref()
    options.signal.addEventListener('abort', this.#end)
    this.push(OPENED)
    if (options.signal.aborted) this.#finish()
  }

  override _read(): void {
    if (!this.#isReading && !this.#isOver) void this.#readOn()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#stop()
    done(error)
  }

  /** As long as what is read is taken. */
  async #readOn(): Promise<void> {
    this.#isReading = true
    try {
      for (let isTaken = true; isTaken; ) {
        const { done, value } = await this.#events.next()
        if (this.#isOver) return
        if (done) {
          this.push(`${END_OF_EVENTS}\n\n`)
          return this.#finish()
        }
        isTaken = this.push(this.#options.write(value))
      }
    } catch (error) {
      if (this.#isOver) return
      this.push(this.#options.tell(error))
      this.#finish()
    } finally {
      this.#isReading = false
    }
  }

  #finish(): void {
    if (this.#isOver) return
    this.#stop()
    this.push(null)
  }

  #stop(): void {
    this.#isOver = true
    clearInterval(this.#heart)
    this.#options.signal.removeEventListener('abort', this.#end)
    leave(this.#events)
  }
}

/** Has a generator do what it does in the end; one that waits for something does it after that. */
function leave(events: AsyncIterator<unknown>): void {
  const left = async () => await events.return?.()
  left().catch(() => {})
}
