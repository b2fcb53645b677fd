import cluster from 'node:cluster'
import { availableParallelism } from 'node:os'
import type { FastifyBaseLogger } from 'fastify'
import { reachesAll } from '#child'
import type { Membership } from './group.ts'
import { onInterrupt } from './interrupts.ts'
import { Member } from './member.ts'
import { findServiceManager, type ServiceManager } from './service-manager.ts'

export interface Group extends Membership {
  /** The script of each process, and its arguments; by its path as it was given, which may lead to a newer release later. */
  readonly script: string
  readonly args: readonly string[]
  readonly cwd: string
  /** Seconds after which a process is replaced by a new one; default: never. */
  readonly maxAge?: number | undefined
  /** Megabytes of memory (RSS) above which it is replaced; default: any. */
  readonly maxMemory?: number | undefined
  /** Seconds for which nothing may be heard of it; default 30. */
  readonly maxSilence?: number | undefined
  /**
   * For development: calls back when files have changed, on which a process starts again at once, and what there was ends whatever it
   * does; returns what ends that. What does not start, or dies, waits for it.
   */
  readonly watch?: ((onChange: () => void) => () => void) | undefined
  readonly log: FastifyBaseLogger
}

/** One that has lived as long as this has not failed to start. */
const STABLE = 10_000
/** ms until a process that has died takes its place again: at once, then doubled with each that dies soon. */
const FIRST_DELAY = 100
const LONGEST_DELAY = 30_000
/** So many in a row, and nobody serves: something else than this process has to look at it. */
const HOPELESS = 5
const LOOK = 1000
/** Seconds for which nothing may be heard of a process. */
const SILENCE = 30

/** ms in which one has to end, in order or not, whose files have changed. */
const HURRY = 200

/** Bytes that a process takes under load, and some more for what a service keeps itself. */
const PROCESS = 192 * 1024 * 1024

/**
 * How many processes there is room for: one for each CPU, as far as the memory goes. Both are those of the container (cgroup), where
 * it has limits.
 *
 * @param memory bytes; 0: nobody knows
 */
export function processesFor(
  cpus: number = availableParallelism(),
  memory: number = process.constrainedMemory(),
): number {
  return memory > 0 ? Math.max(1, Math.min(cpus, Math.floor(memory / PROCESS))) : cpus
}

/**
 * Runs a group of processes on one port, which takes turns in accepting connections (`node:cluster`): one that dies is replaced, so
 * is one that is stuck; SIGHUP replaces all, one after the other, by new ones with the code and `.env` that are there then, and keeps those
 * that are left where a new one does not start; SIGUSR2 logs what there is. SIGTERM and SIGINT end all of them in order; so does SIGHUP
 * where files are watched: then a terminal was closed.
 *
 * @returns the exit code when they have ended: 0, or 1 where one had to be killed, none has started, or all keep dying
 */
export async function supervise(group: Group): Promise<number> {
  return await new Supervisor(group).run()
}

class Supervisor {
  readonly #group: Group
  readonly #log: FastifyBaseLogger
  readonly #manager: ServiceManager
  readonly #members = new Set<Member>()
  readonly #ended = Promise.withResolvers<number>()
  #isEnding = false
  #code = 0
  /** How many have died in a row soon after they began. */
  #crashes = 0
  #renewing: Promise<void> | undefined
  #renewAgain = false
  /** Whose successor starts: where it dies meanwhile, that is the other that takes its place. */
  #succeeded: Member | undefined
  /** Takes the next one's place, where files are watched: half of a start is what no change of them changes. */
  #spare: Member | undefined

  constructor(group: Group) {
    this.#group = group
    this.#log = group.log
    this.#manager = findServiceManager(group.log)
  }

  async run(): Promise<number> {
    const { script, args, cwd, watch } = this.#group
    cluster.schedulingPolicy = cluster.SCHED_RR
    cluster.setupPrimary({ exec: script, args: [...args], cwd, execArgv: process.execArgv })
    const handlers: Partial<Record<NodeJS.Signals, () => void>> = {
      SIGTERM: () => this.#end('SIGTERM'),
      SIGHUP: () => (watch ? this.#end('SIGHUP') : this.#renew()),
      SIGUSR2: () => this.#tell(),
    }
    // For good: one that comes when all have ended would be what this process ends by.
    for (const [signal, handler] of Object.entries(handlers)) process.on(signal, handler)
    onInterrupt(() => this.#end('SIGINT'))
    const looking = setInterval(() => this.#look(), LOOK)
    const stopWatching = watch?.(() => this.#renew())
    try {
      if (watch) this.#renew()
      else await this.#startAll()
    } catch (err) {
      if (!this.#isEnding) {
        this.#log.error({ err }, 'the processes do not start')
        this.#code = 1
        this.#end('SIGTERM')
      }
    }
    try {
      return await this.#ended.promise
    } finally {
      stopWatching?.()
      clearInterval(looking)
    }
  }

  get #serving(): Member[] {
    return [...this.#members].filter(({ state }) => state === 'serving')
  }

  async #startAll(): Promise<void> {
    const { count } = this.#group
    // One first: what keeps it from starting would keep all.
    await this.#start()
    // A signal may have come meanwhile: nobody would tell them.
    if (!this.#isEnding) {
      const others = Array.from({ length: count - 1 }, () => this.#start())
      await Promise.all(others.map((other) => other.catch((err) => this.#failToStart(err))))
    }
    if (this.#isEnding) return
    this.#log.info({ workers: this.#serving.length, pid: process.pid }, 'serving')
    this.#manager.ready()
  }

  /** Starts a process. @throws where it ends before it serves, or takes too long */
  async #start(): Promise<void> {
    const member = this.#spare ?? this.#fork()
    this.#spare = undefined
    await member.start()
  }

  /** @param waits whether it is to wait for its turn */
  #fork(waits = false): Member {
    const { count, place } = this.#group
    const member = new Member({ count, place, waits }, (...ended) => this.#afterExit(...ended))
    this.#members.add(member)
    return member
  }

  #afterExit(member: Member, code: number | null, signal: string | null): void {
    this.#members.delete(member)
    if (this.#spare === member) this.#spare = undefined
    const { pid } = member
    if (this.#isEnding) {
      // One that has just been started has not come as far as to end in order, and one whose files have changed need not.
      const isHurried = this.#group.watch !== undefined && member.state === 'ending'
      if (code !== 0 && member.hasServed && !isHurried) this.#code = 1
      if (this.#members.size === 0) this.#ended.resolve(this.#code)
      return
    }
    // Whoever has started it hears of it.
    if (member.state !== 'serving') return
    if (this.#group.watch) {
      this.#log.warn({ pid, code, signal }, `the process has ended; ${ANOTHER_CHANGE}`)
      return
    }
    // Somebody has sent it a signal, and it has ended in order.
    if (code === 0)
      this.#log.warn({ pid }, 'a process has ended by itself; another takes its place')
    else this.#log.error({ pid, code, signal }, 'a process has died; another takes its place')
    if (this.#members.size === 0 && 'fd' in this.#group.place) {
      // Node.js has closed it with the last of them. systemd still has it, and what waits in it.
      this.#log.error('no process is left that has the socket that was passed')
      this.#code = 1
      this.#end('SIGTERM')
      return
    }
    this.#crashes = code !== 0 && member.age < STABLE ? this.#crashes + 1 : 0
    if (member !== this.#succeeded) this.#startAnother()
  }

  /** Until there is one: sooner or later it may start again. */
  #startAnother(): void {
    const delay =
      this.#crashes === 0 ? 0 : Math.min(FIRST_DELAY * 2 ** (this.#crashes - 1), LONGEST_DELAY)
    setTimeout(() => {
      if (this.#isEnding) return
      this.#start().catch((err) => this.#failToStart(err))
    }, delay)
  }

  #failToStart(err: unknown): void {
    if (this.#isEnding) return
    this.#crashes++
    this.#log.error({ err, attempts: this.#crashes }, 'a process does not start')
    if (this.#serving.length > 0 || this.#crashes < HOPELESS) this.#startAnother()
    else {
      this.#code = 1
      this.#end('SIGTERM')
    }
  }

  /** Has all that there are replaced. A second wish while that is done is one more round. */
  #renew(): void {
    if (this.#isEnding) return
    if (this.#renewing) {
      this.#renewAgain = true
      // What has changed may be what keeps it.
      if (this.#group.watch) this.#kill('starting')
    } else if (this.#group.watch) {
      this.#begin(this.#startAgain(), KEPT)
    } else {
      this.#log.info('replacing the processes one by one')
      this.#begin(this.#replace([...this.#members], 'the processes are replaced'), KEPT)
    }
  }

  /** @param failed what the log says where it does not come about */
  #begin(work: Promise<void>, failed: string): void {
    this.#renewing = work
      .catch((err) => {
        const isTriedAgain = this.#renewAgain && this.#group.watch
        if (!isTriedAgain && !this.#isEnding) this.#log.error({ err }, failed)
      })
      .finally(() => {
        this.#renewing = undefined
        if (!this.#renewAgain) return
        this.#renewAgain = false
        this.#renew()
      })
  }

  /** One after the other. @param done what the log says then */
  async #replace(members: readonly Member[], done: string): Promise<void> {
    for (const member of members) {
      // One that is starting may have read its code before it was changed.
      await member.serving.catch(() => {})
      if (this.#isEnding) return
      // It may have died meanwhile: another is on its way.
      if (member.state !== 'serving' || !this.#members.has(member)) continue
      await this.#startSuccessor(member)
      if (this.#isEnding) return
      member.retire(false)
      await this.#endWithin(member)
    }
    this.#log.info(done)
  }

  /** Starts what takes the place of `member`, also where that dies meanwhile. */
  async #startSuccessor(member: Member): Promise<void> {
    this.#succeeded = member
    try {
      await this.#start()
    } catch (error) {
      if (!this.#members.has(member)) this.#startAnother()
      throw error
    } finally {
      this.#succeeded = undefined
    }
  }

  /** Starts anew, and ends what there is then, whatever it does: its code is not what is there any more. */
  async #startAgain(): Promise<void> {
    const old = this.#serving
    try {
      await this.#start()
    } finally {
      // Not before: it would take the time of the one that starts.
      if (!this.#isEnding) this.#spare ??= this.#fork(true)
    }
    for (const member of old) if (member.state === 'serving') member.retire(true)
    const late = setTimeout(() => this.#kill('ending'), HURRY)
    await Promise.all(old.map(({ exited }) => exited))
    clearTimeout(late)
  }

  #kill(wanted: Member['state']): void {
    for (const member of this.#members) if (member.state === wanted) member.kill('SIGKILL')
  }

  async #endWithin(member: Member): Promise<void> {
    await member.end(() => {
      this.#log.error({ pid: member.pid }, 'a process does not end, and is killed')
      this.#code = 1
    })
  }

  /** Once a second, at each of those that serve. */
  #look(): void {
    const { maxAge = Number.POSITIVE_INFINITY, maxMemory = Number.POSITIVE_INFINITY } = this.#group
    if (this.#isEnding || this.#group.watch) return
    const serving = this.#serving
    for (const member of serving) this.#listenTo(member)
    if (this.#renewing) return
    const isOver = ({ age, rss, isWorn }: Member) =>
      isWorn || age > maxAge * 1000 || rss > maxMemory * 1_048_576
    const one = serving.find(isOver)
    if (!one) return
    const { pid, rss, age } = one.describe()
    this.#log.info({ pid, rss, age }, 'a process is over its limit, and is replaced')
    this.#begin(this.#replace([one], 'the process is replaced'), KEPT)
  }

  /** Kills one that is stuck: connections that it is given nobody answers. */
  #listenTo(member: Member): void {
    const { maxSilence = SILENCE } = this.#group
    // Counted, not timed: where this process itself was held up, all have said something meanwhile.
    if (++member.silence <= (maxSilence * 1000) / LOOK) return
    member.silence = 0
    const { pid } = member
    this.#log.error({ pid }, `nothing is heard of a process for ${maxSilence} s, and it is killed`)
    member.kill('SIGKILL')
  }

  #tell(): void {
    const workers = Array.from(this.#members, (one) => one.describe())
    this.#log.info(
      { workers, crashes: this.#crashes, replacing: this.#renewing !== undefined },
      'state',
    )
  }

  #end(signal: NodeJS.Signals): void {
    const isSecond = this.#isEnding
    this.#isEnding = true
    if (!isSecond) this.#manager.stopping()
    if (this.#members.size === 0) this.#ended.resolve(this.#code)
    const hasIt = reachesAll(signal)
    for (const member of this.#members) {
      if (isSecond) this.#code = 1
      // Not by a signal, which may have come to it as well, and would be the second. One that starts hears nothing else.
      if (member.hasServed) member.endWithOthers(signal, isSecond)
      else if (!hasIt) member.kill('SIGTERM')
      if (!isSecond) void this.#endWithin(member)
    }
  }
}

const KEPT = 'a new process does not start: those that serve stay'
const ANOTHER_CHANGE = 'it is started again when a file changes'
