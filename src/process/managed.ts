import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { tie } from '#child'
import { errors } from '../errors.ts'

/** How a `manage` is started. */
export interface Start {
  /** The program, and its arguments before those of `manage`: `['node', 'bin/manage']`. */
  readonly program: readonly string[]
  readonly args: readonly string[]
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  /** Told of each line of its log. */
  readonly onLine?: (line: string) => void
}

/** What one of the processes of a group is: see SIGUSR2 in docs/commands.md. */
export interface MemberState {
  pid: number
  state: string
  /** Seconds. */
  age: number
  /** Bytes. */
  rss: number
}

/** Milliseconds in which a log says what is waited for. */
const PATIENCE = 60_000
const KEPT_LINES = 20

/** A `manage` that stays, for who looks at it from outside: by signals, and by what it logs. It ends with this process. */
export class Managed {
  readonly #child: ChildProcess
  readonly #unheard: string[] = []
  readonly #last: string[] = []

  constructor({ program, args, cwd, env, onLine }: Start) {
    const [command = '', ...before] = program
    this.#child = spawn(command, [...before, ...args], {
      cwd,
      env: { ...env, ...tie.env, LOG_LEVEL: 'info', LOG_FORMAT: 'plinth' },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.#child.on('error', (error) => this.#last.push(error.message))
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      createInterface({ input: stream as NodeJS.ReadableStream }).on('line', (line) => {
        onLine?.(line)
        // Those of requests and tasks are many, and nobody waits for them.
        if (/"(?:path|task_id)":/.test(line)) return
        this.#unheard.push(line)
        this.#last.push(line)
        if (this.#last.length > KEPT_LINES) this.#last.shift()
      })
    }
  }

  /** Where it listens, once all of its processes do: `http://127.0.0.1:3000`. */
  async url(): Promise<string> {
    const line = await this.says('Server listening at')
    await this.says('serving')
    return /http:[^"]+/.exec(line)?.[0] ?? ''
  }

  /**
   * Waits for a line of its log that nobody has waited for before; those before it are not waited for any more.
   *
   * @param messages how it begins: any of them
   * @throws {PlinthError} ROLLOUT_UNTESTED with the last lines, where it has ended, or a minute has passed
   */
  async says(...messages: string[]): Promise<string> {
    const end = performance.now() + PATIENCE
    for (;;) {
      const hasEnded = this.hasEnded
      for (let line = this.#unheard.shift(); line !== undefined; line = this.#unheard.shift())
        if (messages.some((message) => line?.includes(`"msg":"${message}`))) return line
      if (hasEnded || performance.now() > end) {
        const why = hasEnded ? 'it ended' : 'a minute passed'
        const said = `${why} before it said "${messages.join('" or "')}":\n${this.tail()}`
        throw errors.ROLLOUT_UNTESTED(said)
      }
      await sleep(20)
    }
  }

  /** What its processes are. */
  async members(): Promise<MemberState[]> {
    this.signal('SIGUSR2')
    return JSON.parse(await this.says('state')).workers
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Its last lines. */
  tail(): string {
    return this.#last.join('\n')
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null || !this.#child.pid
  }

  /** Its exit code; null where a signal has ended it. */
  async ended(): Promise<number | null> {
    if (!this.hasEnded) await once(this.#child, 'exit')
    return this.#child.exitCode
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}
