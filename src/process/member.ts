import type { SendHandle } from 'node:child_process'
import cluster, { type Worker } from 'node:cluster'
import { tie } from '#child'
import { LONGEST_TIMER } from '../deadlines.ts'
import { type FromMember, GROUP, type Membership, type ToMember } from './group.ts'

/** How many ms a process may take to start. */
const START_LIMIT = 60_000
/** ms: what a process may take to end beside what it says itself. */
const PATIENCE_MORE = 5000

/** What a process says of itself in the log of its supervisor. */
interface MemberState {
  readonly pid: number | undefined
  readonly state: Member['state']
  /** Seconds. */
  readonly age: number
  /** Bytes. */
  readonly rss: number
}

/** One process of a group, as its supervisor has it: begun when this is made. */
export class Member {
  /** Of one that waits for its turn nothing of the service has been loaded. */
  state: 'waiting' | 'starting' | 'serving' | 'ending'
  /** Bytes of memory that it takes. */
  rss = 0
  /** Whether it has asked for another in its place. */
  isWorn = false
  /** For how many looks nothing has been heard of it. */
  silence = 0
  readonly #worker: Worker
  readonly #serving = Promise.withResolvers<void>()
  readonly #exited = Promise.withResolvers<void>()
  #since = performance.now()
  /** Whether one that waits can begin. */
  #isWarm = false
  /** Whether it has taken too long to start: whoever has started it has heard of that. */
  #isLate = false
  #patience = 0

  /** @param onExit told when it has ended, however */
  constructor(
    membership: Membership,
    onExit: (member: Member, code: number | null, signal: string | null) => void,
  ) {
    this.state = membership.waits ? 'waiting' : 'starting'
    this.#worker = cluster.fork({ ...tie.env, [GROUP]: JSON.stringify(membership) })
    handOnUntaken(this.#worker)
    // Whoever has started it hears of it.
    this.#serving.promise.catch(() => {})
    this.#worker.on('message', (message: FromMember) => this.#hear(message))
    const end = (why: string, code: number | null, signal: string | null) => {
      this.#serving.reject(new Error(why))
      this.#exited.resolve()
      onExit(this, code, signal)
    }
    this.#worker.on('error', (error) => {
      // One that cannot be told something is ending. What the system did not start has no end that would be told.
      if (this.pid === undefined) end(`a process cannot be started: ${error.message}`, null, null)
    })
    this.#worker.once('exit', (code, signal) =>
      end(`a process ended before it served (${signal ?? `exit code ${code}`})`, code, signal),
    )
  }

  get pid(): number | undefined {
    return this.#worker.process.pid
  }

  /** ms since its turn came. */
  get age(): number {
    return performance.now() - this.#since
  }

  get hasServed(): boolean {
    return this.state === 'serving' || this.state === 'ending'
  }

  /** Rejects where it ends before. */
  get serving(): Promise<void> {
    return this.#serving.promise
  }

  get exited(): Promise<void> {
    return this.#exited.promise
  }

  /** Waits until it serves; the turn of one that waits has come. @throws where it ends before it serves, or takes too long */
  async start(): Promise<void> {
    this.#since = performance.now()
    if (this.state === 'waiting') {
      this.state = 'starting'
      if (this.#isWarm) this.#send({ plinth: 'begin' })
    }
    const late = setTimeout(() => {
      this.#isLate = true
      this.#serving.reject(new Error(`a process did not serve within ${START_LIMIT / 1000} s`))
      this.kill('SIGKILL')
    }, START_LIMIT)
    await this.serving.finally(() => clearTimeout(late))
  }

  /** Lets it end, as another takes its place; `hurried`: it waits for no client. */
  retire(hurried: boolean): void {
    this.state = 'ending'
    this.#send({ plinth: 'retire', hurried })
  }

  /** Lets it end as all others do; `isSecond`: at once. */
  endWithOthers(signal: NodeJS.Signals, isSecond: boolean): void {
    this.#send({ plinth: 'all end', signal, isSecond })
  }

  /** Waits until it has ended, and kills it where that takes longer than it says itself. @param onLate told before that */
  async end(onLate: () => void): Promise<void> {
    const kill = setTimeout(
      () => {
        onLate()
        this.kill('SIGKILL')
      },
      Math.min(this.#patience + PATIENCE_MORE, LONGEST_TIMER),
    )
    await this.exited.finally(() => clearTimeout(kill))
  }

  kill(signal: NodeJS.Signals): void {
    this.#worker.process.kill(signal)
  }

  describe(): MemberState {
    const { pid, state, rss } = this
    return { pid, state, age: Math.round(this.age / 1000), rss }
  }

  #hear(message: FromMember | undefined): void {
    this.silence = 0
    switch (message?.plinth) {
      case 'waiting':
        this.#isWarm = true
        // Its turn has come before.
        if (this.state === 'starting') this.#send({ plinth: 'begin' })
        break
      case 'serving':
        this.#patience = message.patience
        if (this.state === 'starting' && !this.#isLate) this.state = 'serving'
        this.#serving.resolve()
        break
      case 'worn':
        this.isWorn = true
        break
      case 'memory':
        this.rss = message.rss
        break
    }
  }

  #send(message: ToMember): void {
    // One that cannot be told any more ends by itself.
    this.#worker.send(message, () => {})
  }
}

/** As `node:cluster` has it. */
interface Connection {
  close(): void
}

/** What `node:cluster` hands over a connection with, and is told of it, as far as it is looked at. */
interface HandOver {
  readonly act?: string
  readonly seq?: number
  readonly ack?: number
}

/**
 * Hands a connection to another process that one was handed, and died before it had taken it; where there is no other it is closed, as the system does
 * where a process has its own socket. `node:cluster` would keep it until the client gives up.
 */
function handOnUntaken(worker: Worker): void {
  const { process: child } = worker
  const untaken = new Map<number | undefined, [message: HandOver, handle: Connection]>()
  const { send } = child
  // The system has not started it.
  if (!send) return
  child.send = (message: HandOver, handle?: unknown, ...more: unknown[]) => {
    if (message.act === 'newconn' && handle)
      untaken.set(message.seq, [message, handle as Connection])
    return Reflect.apply(send, child, [message, handle, ...more])
  }
  child.on('internalMessage', ({ ack }: HandOver) => untaken.delete(ack))
  // When all that it has said was heard. There is no `disconnect` of one that has not taken what it was sent.
  child.once('close', () => {
    const others = Object.values(cluster.workers ?? {})
    const other = others.find((one) => one !== worker && one?.isConnected())
    for (const [message, handle] of untaken.values()) {
      // Whoever takes it answers for the one that has not.
      if (other) other.process.send?.(message, handle as SendHandle)
      else handle.close()
    }
  })
}
