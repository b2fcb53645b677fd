import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, renameSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

// The guard's input is a pipe from the runner. It ends when the runner does, even by SIGKILL; then
// everything goes. A process that is just being killed may still create a file, hence the second try.
const GUARD = `
cat >/dev/null
while mv "$1/pids" "$1/doomed"; do
  for pid in $(cat "$1/doomed"); do kill -9 "-$pid"; done
done
rm -rf "$1" || { sleep 1; rm -rf "$1"; }
`
// Each process tells the guard of itself before it is what it is to be: whoever is killed in between has told nobody. One that
// comes after the guard finds no folder.
const TELL = 'echo $$ >>"$0/pids" && exec "$@"'

/** A process whose output goes to a file. */
export interface Logged {
  readonly log: string
  readonly process: ChildProcess
}

/**
 * A temporary folder and the processes that work for it. Both are gone after `close()`, and also when this
 * process ends without it. Servers are killed, not stopped: nobody needs their data any more.
 */
export class Sandbox {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'plinth-test-'))
  readonly #alive = new Map<number, Promise<unknown>>()
  readonly #guard: ChildProcess
  #closed = false

  constructor() {
    this.#writePids()
    this.#guard = spawn('/bin/sh', ['-c', GUARD, 'guard', this.folder], {
      cwd: '/',
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    })
  }

  /**
   * Starts a program in a process group of its own, so that Ctrl-C in a terminal does not reach it
   * and its children die with it.
   */
  spawn(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
    const told = ['-c', TELL, this.folder, command, ...args]
    const child = spawn('/bin/sh', told, { ...options, detached: true })
    const { pid } = child
    if (pid === undefined) return child
    this.#alive.set(pid, once(child, 'exit'))
    this.#writePids()
    child.once('exit', () => {
      this.#alive.delete(pid)
      this.#writePids()
    })
    return child
  }

  /** Starts a program that prints into `<folder>/<name>.log`. */
  spawnLogged(name: string, command: string, args: readonly string[]): Logged {
    const log = join(this.folder, `${name}.log`)
    const file = openSync(log, 'a')
    const child = this.spawn(command, args, { stdio: ['ignore', file, file] })
    closeSync(file)
    return { log, process: child }
  }

  /** Kills what still runs, removes the folder and waits until that is done. Call it once. */
  async close(): Promise<void> {
    this.#closed = true
    this.#guard.stdin?.end()
    await Promise.all([once(this.#guard, 'exit'), ...this.#alive.values()])
  }

  /** Those that are alive: the number of another may be given to a stranger. */
  #writePids(): void {
    if (this.#closed) return
    const path = join(this.folder, 'pids')
    // At once: a file that is empty for a moment would be all that the guard finds.
    writeFileSync(`${path}.new`, [...this.#alive.keys(), ''].join('\n'))
    renameSync(`${path}.new`, path)
  }
}
