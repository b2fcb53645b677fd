import cluster, { type Worker } from 'node:cluster'
import { isatty } from 'node:tty'
import type { FastifyBaseLogger } from 'fastify'
import { LONGEST_TIMER } from '../deadlines.ts'
import { type FromMember, GROUP, type Membership, type ToMember } from './group.ts'
import { findServiceManager, type ServiceManager } from './service-manager.ts'

export interface Group extends Membership {
  /** The script of each process, and its arguments; by its path as it was given, which may lead to a newer release later. */
  readonly script: string
  readonly args: readonly string[]
  readonly cwd: string
  /** Beside the environment of this process. */
  readonly env: Readonly<Record<string, string>>
  /** Seconds after which a process is replaced by a new one; default: never. */
  readonly maxAge?: number | undefined
  /** Megabytes of memory (RSS) above which it is replaced; default: any. */
  readonly maxMemory?: number | undefined
  readonly log: FastifyBaseLogger
}

/** How many ms a process may take to start. */
const START_LIMIT = 60_000
/** One that has lived as long as this has not failed to start. */
const STABLE = 10_000
/** ms until a process that has died takes its place again: at once, then doubled with each that dies soon. */
const FIRST_DELAY = 100
const LONGEST_DELAY = 30_000
/** So many in a row, and nobody serves: something else than this process has to look at it. */
const HOPELESS = 5
const LOOK = 1000

interface Member {
  readonly worker: Worker
  readonly since: number
  /** That it serves, or never will. */
  readonly begun: Promise<unknown>
  readonly exited: Promise<void>
  state: 'starting' | 'serving' | 'ending'
  patience: number
  rss: number
}

/**
 * Runs a group of processes on one port, which takes turns in accepting connections (`node:cluster`): one that dies is replaced;
 * SIGHUP replaces all, one after the other, by new ones with the code and `.env` that are there then, and keeps those that are left
 * where a new one does not start; SIGUSR2 logs what there is. SIGTERM and SIGINT end all of them in order.
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
  #roll: Promise<void> | undefined
  #rollAgain = false

  constructor(group: Group) {
    this.#group = group
    this.#log = group.log
    this.#manager = findServiceManager(group.log)
  }

  async run(): Promise<number> {
    const { script, args, cwd, count } = this.#group
    cluster.schedulingPolicy = cluster.SCHED_RR
    cluster.setupPrimary({ exec: script, args: [...args], cwd, execArgv: process.execArgv })
    const handlers: Partial<Record<NodeJS.Signals, () => void>> = {
      SIGTERM: () => this.#end('SIGTERM'),
      SIGINT: () => this.#end('SIGINT'),
      SIGHUP: () => this.#replaceAll(),
      SIGUSR2: () => this.#tell(),
    }
    const signals = Object.entries(handlers) as [NodeJS.Signals, () => void][]
    for (const [signal, handler] of signals) process.on(signal, handler)
    const looking = setInterval(() => this.#keepLimits(), LOOK)
    try {
      // One first: what keeps it from starting would keep all.
      const [first, ...others] = Array.from({ length: count }, () => () => this.#start())
      await first?.()
      // A signal may have come meanwhile: nobody would tell them.
      if (!this.#isEnding) await Promise.all(others.map((start) => start()))
      if (!this.#isEnding) {
        this.#log.info({ workers: count, pid: process.pid }, 'serving')
        this.#manager.ready()
      }
      return await this.#ended.promise
    } catch (err) {
      if (!this.#isEnding) {
        this.#log.error({ err }, 'the processes do not start')
        this.#code = 1
        this.#end('SIGTERM')
      }
      return await this.#ended.promise
    } finally {
      clearInterval(looking)
      for (const [signal, handler] of signals) process.off(signal, handler)
    }
  }

  /** Starts a process. @throws where it ends before it serves, or takes too long */
  #start(): Promise<Member> {
    const { env, count, address } = this.#group
    const membership: Membership = { count, address }
    const worker = cluster.fork({ ...env, PLINTH_TIED: '1', [GROUP]: JSON.stringify(membership) })
    const exited = Promise.withResolvers<void>()
    const started = Promise.withResolvers<Member>()
    const member: Member = {
      worker,
      since: performance.now(),
      begun: Promise.race([started.promise.catch(() => {}), exited.promise]),
      exited: exited.promise,
      state: 'starting',
      patience: 0,
      rss: 0,
    }
    this.#members.add(member)
    const late = setTimeout(() => {
      started.reject(new Error(`a process did not serve within ${START_LIMIT / 1000} s`))
      worker.process.kill('SIGKILL')
    }, START_LIMIT)
    worker.on('message', (message: FromMember) => {
      if (message?.plinth === 'memory') member.rss = message.rss
      if (message?.plinth !== 'serving') return
      clearTimeout(late)
      member.patience = message.patience
      if (member.state === 'starting') member.state = 'serving'
      started.resolve(member)
    })
    // A worker that cannot be told something is ending.
    worker.on('error', () => {})
    worker.once('exit', (code, signal) => {
      clearTimeout(late)
      this.#members.delete(member)
      started.reject(
        new Error(`a process ended before it served (${signal ?? `exit code ${code}`})`),
      )
      exited.resolve()
      this.#afterExit(member, code, signal)
    })
    return started.promise
  }

  #afterExit(member: Member, code: number | null, signal: string | null): void {
    const { pid } = member.worker.process
    if (this.#isEnding) {
      // One that has just been started has not come as far as to end in order.
      if (code !== 0 && member.state !== 'starting') this.#code = 1
      if (this.#members.size === 0) this.#ended.resolve(this.#code)
      return
    }
    // Whoever has started it hears of it.
    if (member.state !== 'serving') return
    const lived = performance.now() - member.since
    // Somebody has sent it a signal, and it has ended in order.
    if (code === 0)
      this.#log.warn({ pid }, 'a process has ended by itself; another takes its place')
    else this.#log.error({ pid, code, signal }, 'a process has died; another takes its place')
    if (this.#members.size === 0 && this.#group.address && 'fd' in this.#group.address) {
      // Node.js has closed it with the last of them. systemd still has it, and what waits in it.
      this.#log.error('no process is left that has the socket that was passed')
      this.#code = 1
      this.#end('SIGTERM')
      return
    }
    this.#crashes = code !== 0 && lived < STABLE ? this.#crashes + 1 : 0
    this.#startAnother()
  }

  /** Until there is one: sooner or later it may start again. */
  #startAnother(): void {
    const delay =
      this.#crashes === 0 ? 0 : Math.min(FIRST_DELAY * 2 ** (this.#crashes - 1), LONGEST_DELAY)
    setTimeout(() => {
      if (this.#isEnding) return
      this.#start().catch((err) => {
        if (this.#isEnding) return
        this.#crashes++
        this.#log.error({ err, attempts: this.#crashes }, 'a process does not start')
        const isServed = Array.from(this.#members, ({ state }) => state).includes('serving')
        if (isServed || this.#crashes < HOPELESS) this.#startAnother()
        else {
          this.#code = 1
          this.#end('SIGTERM')
        }
      })
    }, delay)
  }

  /** Replaces all that there are by new ones, one after the other. A second wish while that is done is one more round. */
  #replaceAll(): void {
    if (this.#isEnding) return
    if (this.#roll) {
      this.#rollAgain = true
      return
    }
    this.#log.info('replacing the processes one by one')
    this.#begin([...this.#members], 'the processes are replaced')
  }

  /** @param done what the log says then */
  #begin(members: readonly Member[], done: string): void {
    this.#roll = this.#replace(members)
      .then(
        () => this.#log.info(done),
        (err) => this.#log.error({ err }, 'a new process does not start: those that serve stay'),
      )
      .finally(() => {
        this.#roll = undefined
        if (!this.#rollAgain) return
        this.#rollAgain = false
        this.#replaceAll()
      })
  }

  async #replace(members: readonly Member[]): Promise<void> {
    for (const member of members) {
      // One that is starting may have read its code before it was changed.
      await member.begun
      if (this.#isEnding) return
      // It may have died meanwhile: another is on its way.
      if (member.state !== 'serving' || !this.#members.has(member)) continue
      await this.#start()
      await this.#retire(member)
    }
  }

  /** Lets a process end whose place another has taken. */
  async #retire(member: Member): Promise<void> {
    member.state = 'ending'
    member.worker.send({ plinth: 'retire' } satisfies ToMember)
    await this.#endWithin(member)
  }

  async #endWithin({ worker, exited, patience }: Member): Promise<void> {
    const kill = setTimeout(
      () => {
        this.#log.error({ pid: worker.process.pid }, 'a process does not end, and is killed')
        this.#code = 1
        worker.process.kill('SIGKILL')
      },
      Math.min(patience + PATIENCE_MORE, LONGEST_TIMER),
    )
    await exited.finally(() => clearTimeout(kill))
  }

  #keepLimits(): void {
    const { maxAge = Number.POSITIVE_INFINITY, maxMemory = Number.POSITIVE_INFINITY } = this.#group
    if (this.#roll || this.#isEnding) return
    const serving = [...this.#members].filter(({ state }) => state === 'serving')
    const isOver = ({ since, rss }: Member) =>
      performance.now() - since > maxAge * 1000 || rss > maxMemory * 1_048_576
    const one = serving.find(isOver)
    if (!one) return
    const { pid } = one.worker.process
    this.#log.info(
      { pid, rss: one.rss, age: ageOf(one) },
      'a process is over its limit, and is replaced',
    )
    this.#begin([one], 'the process is replaced')
  }

  #tell(): void {
    const workers = Array.from(this.#members, (one) => ({
      pid: one.worker.process.pid,
      state: one.state,
      age: ageOf(one),
      rss: one.rss,
    }))
    this.#log.info(
      { workers, crashes: this.#crashes, replacing: this.#roll !== undefined },
      'state',
    )
  }

  #end(signal: 'SIGTERM' | 'SIGINT'): void {
    const isSecond = this.#isEnding
    this.#isEnding = true
    if (!isSecond) this.#manager.stopping()
    if (this.#members.size === 0) this.#ended.resolve(this.#code)
    // A terminal sends Ctrl-C to all processes: passed on as well, it would count as a second one.
    const hasIt = signal === 'SIGINT' && [0, 1].some(isatty)
    for (const member of this.#members) {
      if (isSecond) this.#code = 1
      // To one that is told to end already it would be the second.
      if (!hasIt && (isSecond || member.state !== 'ending')) member.worker.process.kill('SIGTERM')
      if (!isSecond) void this.#endWithin(member)
    }
  }
}

/** ms: what a process may take to end beside what it says itself. */
const PATIENCE_MORE = 5000

/** Seconds. */
function ageOf({ since }: Member): number {
  return Math.round((performance.now() - since) / 1000)
}
