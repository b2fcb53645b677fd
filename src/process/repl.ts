import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { type REPLServer, start } from 'node:repl'
import { promisify } from 'node:util'
import type { FastifyInstance } from 'fastify'

/** What code in the shell finds as its global names. */
export interface ShellGlobals {
  app: FastifyInstance
  [name: string]: unknown
}

/** A REPL on the terminal; ends with it. Its history is kept for each service and user. */
export async function startRepl(name: string, globals: ShellGlobals): Promise<void> {
  const repl = start({ prompt: `${name}> `, breakEvalOnSigint: true })
  Object.assign(repl.context, globals)
  const ended = once(repl, 'exit')
  await keepHistory(repl, historyFile(name))
  await ended
}

/**
 * Runs `code`, an expression or statements with top-level await, and returns the value: of statements,
 * what they `return`.
 *
 * @throws {SyntaxError} and whatever the code throws
 */
export async function evaluate(code: string, globals: ShellGlobals): Promise<unknown> {
  const names = Object.keys(globals)
  const run = asFunction(names, `return (${code}\n)`) ?? new AsyncFunction(...names, code)
  return globals.app.run(() => run(...Object.values(globals)))
}

type Runnable = (...values: unknown[]) => Promise<unknown>

const AsyncFunction = (async () => {}).constructor as new (...source: string[]) => Runnable

/** `undefined` where `source` is no expression. */
function asFunction(names: readonly string[], source: string): Runnable | undefined {
  try {
    return new AsyncFunction(...names, source)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function historyFile(name: string): string {
  const state = process.env.XDG_STATE_HOME || join(homedir(), '.local/state')
  return join(state, 'plinth', `${name}.history`)
}

async function keepHistory(repl: REPLServer, file: string): Promise<void> {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  } catch {
    // A read-only container: Node.js says below that there will be no history, and goes on.
  }
  await promisify(repl.setupHistory.bind(repl))(file)
}
