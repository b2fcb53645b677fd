import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { CLIError } from '@oclif/core/errors'
import { errors } from '../src/errors.ts'

/** The releases, of which one is the current one: what a link leads to, as where releases are deployed so. */
export class Releases {
  readonly #folder: string
  readonly #link: string
  readonly #script: string
  readonly #old: string
  readonly #new: string

  /** @param script the kit's, for releases that have none of their own */
  constructor(script: string, current: string, old: string) {
    this.#old = old
    this.#new = current
    const own = 'node_modules/plinth/bin/manage'
    this.#script = existsSync(join(current, own)) ? own : script
    for (const needed of ['src/service.ts', ...(this.#script === own ? [own] : [])]) {
      if (!existsSync(join(old, needed)))
        throw new CLIError(`--from ${old}: there is no ${needed}`, { exit: 2 })
    }
    this.#folder = mkdtempSync(join(tmpdir(), 'plinth-rollout-'))
    this.#link = join(this.#folder, 'current')
    symlinkSync(this.#old, this.#link)
  }

  /** How `manage` of the current one is started. */
  get current() {
    return this.#startIn(this.#link)
  }

  /** Applies the migrations of the new one. @throws {PlinthError} ROLLOUT_UNTESTED with what it says, where it fails */
  async migrate(env: NodeJS.ProcessEnv): Promise<void> {
    const { program, cwd, env: own } = this.#startIn(this.#new)
    const [command = '', ...args] = [...program, 'migrate']
    const run = promisify(execFile)(command, args, { cwd, env: { ...env, ...own } })
    await run.catch(({ stderr, message }) => {
      throw errors.ROLLOUT_UNTESTED(`manage migrate has failed: ${stderr || message}`)
    })
  }

  /** Makes the new one the current one. */
  change(): void {
    const next = `${this.#link}.next`
    symlinkSync(this.#new, next)
    renameSync(next, this.#link)
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true })
  }

  #startIn(folder: string) {
    return {
      program: [process.execPath, ...process.execArgv, resolve(folder, this.#script)],
      cwd: folder,
      env: { PWD: folder, PLINTH_SERVICE: folder },
    }
  }
}
