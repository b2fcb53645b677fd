import type { Socket } from 'node:net'
import { Command, Redis, type RedisOptions } from 'ioredis'
import { DeadlineQueue, type Timed } from '../deadlines.ts'
import { errors, type PlinthError } from '../errors.ts'

interface Address {
  readonly host: string
  readonly port: number
}

/** What ioredis connects by. */
interface Connector {
  check(told: Told): boolean
}

/** The same where there are Sentinels. */
interface SentinelConnector extends Connector {
  disconnect(): void
  connectToSentinel(...place: unknown[]): Redis
  /** Asks a Sentinel which one is the master. */
  resolve(place: unknown): Promise<Address | null>
  sentinelNatResolve(told: Address): Address
}

/** What INFO tells of a Redis when a connection to it is made. */
type Told = Readonly<Record<string, string | undefined>>

/** What ioredis knows of a connection that says nothing though it was asked. */
interface Silence {
  socketTimeoutTimer: NodeJS.Timeout | undefined
  readonly commandQueue: { readonly length: number }
}

/** What Redis has not answered yet. */
interface Waiting extends Timed {
  readonly command: Command
}

const NO_TIMER = () => {}

// Answers of a master that has become a replica: another one is the master by now.
const DEMOTED = /\b(?:READONLY|MASTERDOWN)\b/

/**
 * A connection that follows a fail-over: it is made anew where the master has become a replica, and not used as long as it leads to
 * one. To a node of a cluster it never is. Its user need not be allowed to ask for INFO.
 */
export class RedisClient extends Redis {
  /** Why it will never be of use: known once it has been reached. */
  refused: PlinthError | undefined
  readonly #waiting: DeadlineQueue<Waiting> | undefined

  constructor(options: Omit<RedisOptions, 'replyMapping'>) {
    const { enableOfflineQueue = true, lazyConnect = false } = options
    // What waits for Redis is sent again, to the one that is the master then.
    const again = enableOfflineQueue ? 2 : 1
    const reconnectOnError = ({ message }: Error) => DEMOTED.test(message) && again
    super({ ...options, reconnectOnError, lazyConnect: true })
    Object.assign(this.options, { lazyConnect })
    const { commandTimeout } = this.options
    if (commandTimeout !== undefined)
      this.#waiting = new DeadlineQueue(commandTimeout, ({ command }) =>
        command.reject(new Error('Command timed out')),
      )
    Object.assign(this, { info: infoOf(this), setSocketTimeout: () => this.#listen() })
    hearAllErrors(this)
    this.#watch()
    // Not before: its way is watched from the first connection on.
    if (!lazyConnect) this.connect().catch(() => {})
  }

  /** As ioredis', whose timer of a command comes before an answer that has waited for this process. */
  override sendCommand(...[command, stream]: Parameters<Redis['sendCommand']>): unknown {
    if (this.#waiting && command.setTimeout === Command.prototype.setTimeout) {
      command.setTimeout = NO_TIMER
      const one: Waiting = { command, at: 0, earlier: undefined, later: undefined }
      this.#waiting.add(one)
      const remove = () => this.#waiting?.remove(one)
      command.promise.then(remove, remove)
    }
    return super.sendCommand(command, stream)
  }

  /** As ioredis', likewise: a connection that says nothing for `socketTimeout` though it was asked is given up. */
  #listen(): void {
    const { stream, options } = this
    const silence = this as unknown as Silence
    const giveUp = () => {
      if (silence.socketTimeoutTimer !== timer) return
      silence.socketTimeoutTimer = undefined
      stream.destroy(new Error(`it has said nothing for ${options.socketTimeout} ms`))
    }
    const timer = setTimeout(() => setImmediate(giveUp), options.socketTimeout)
    silence.socketTimeoutTimer = timer
    stream.once('data', () => {
      clearTimeout(silence.socketTimeoutTimer)
      silence.socketTimeoutTimer = undefined
      if (silence.commandQueue.length > 0) this.#listen()
    })
  }

  override duplicate(override?: Partial<RedisOptions>): Redis {
    return new RedisClient({ ...this.options, ...override })
  }

  // There is no other way to look at a connection before what has waited for it is sent.
  #watch(): void {
    const { connector } = this as unknown as { connector: Connector }
    const check = connector.check.bind(connector)
    connector.check = (told) => {
      const isWanted = check(told)
      return this.#suits(told) && isWanted
    }
    if ('connectToSentinel' in connector) this.#watchSentinels(connector as SentinelConnector)
  }

  #watchSentinels(connector: SentinelConnector): void {
    const connect = connector.connectToSentinel.bind(connector)
    const resolve = connector.resolve.bind(connector)
    let master: Address | null = null
    connector.resolve = async (place) => {
      master = await resolve(place)
      return master
    }
    // What leads to the old master is broken off; what is being made asks for the master anyway, and broken off it would end for good. They name the
    // new one to who asks before they tell of it: a connection that leads there is of use.
    const isLost = (told: unknown) => {
      const [name, , , host = '', port] = String(told).split(' ')
      if (name !== this.options.name || this.status === 'connecting') return false
      const named = connector.sentinelNatResolve({ host, port: Number(port) })
      return named.host !== master?.host || named.port !== master.port
    }
    connector.connectToSentinel = (...place) => {
      const sentinel = hearAllErrors(connect(...place))
      // Of one that is away while others are there nothing need be said: ioredis would, on stderr.
      sentinel.on('error', () => {})
      const emit = sentinel.emit.bind(sentinel) as (...event: unknown[]) => boolean
      const emitNews = (event: unknown, ...told: unknown[]) =>
        (event !== 'message' || isLost(told[1])) && emit(event, ...told)
      return Object.assign(sentinel, { emit: emitNews })
    }
    // It would go on to listen to the Sentinels.
    this.on('end', () => connector.disconnect())
  }

  #suits({ redis_mode: mode, role = '' }: Told): boolean {
    const why = mode === 'cluster' ? CLUSTER : mode === 'sentinel' ? SENTINEL : undefined
    if (why) this.refused = errors.REDIS_UNUSABLE('redis', why)
    const isReplica = role === 'slave' || role === 'replica'
    const problem = this.refused ?? (isReplica && new Error('it is a replica, which takes nothing'))
    if (problem && this.listenerCount('error') > 0) this.emit('error', problem)
    return !problem
  }
}

/**
 * A socket by TLS tells of more than one error where a server refuses a client that has begun to write. ioredis listens to the first one: the
 * next would end the process.
 */
function hearAllErrors<Client extends Redis>(client: Client): Client {
  let current: Socket | undefined
  return Object.defineProperty(client, 'stream', {
    get: () => current,
    set(stream: Socket | undefined) {
      current = stream?.on('error', () => {})
    },
  })
}

const CLUSTER =
  'it is a node of a cluster; expected one Redis, or one that Sentinels look after (redis+sentinel://)'
const SENTINEL = 'it is a Sentinel; write redis+sentinel://host:26379/NAME for what it looks after'

type Callback = (error: Error | null, text?: string) => void

/** As `info` of ioredis; to who may not ask for it, it tells what HELLO does. */
function infoOf(client: Redis) {
  const ask = client.info.bind(client) as (...sections: unknown[]) => Promise<string>
  return (...args: unknown[]) => {
    const sections = args.filter((arg) => typeof arg !== 'function')
    const callback = args.find((arg) => typeof arg === 'function') as Callback | undefined
    const told = ask(...sections).catch(async (error: Error) => {
      if (!error.message.startsWith('NOPERM')) throw error
      return helloAsInfo((await client.call('hello')) as unknown[])
    })
    return callback ? told.then((text) => callback(null, text), callback) : told
  }
}

function helloAsInfo(answer: readonly unknown[]): string {
  const of = (name: string) => answer[answer.indexOf(name) + 1]
  const lines = { redis_version: of('version'), redis_mode: of('mode'), role: of('role') }
  return Object.entries(lines)
    .map(([name, value]) => `${name}:${value}\r\n`)
    .join('')
}
