import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import * as Flags from '@oclif/core/flags'
import { errors } from '../src/errors.ts'

/** Whether somebody is there to answer: both the question and the answer go through a terminal. */
export const canAsk = (): boolean => process.stdin.isTTY === true && process.stderr.isTTY === true

/** Asks on stderr, so that results on stdout stay clean. Ctrl-C and Ctrl-D answer nothing, `''`. */
export async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const closed = new Promise<string>((resolve) => terminal.once('close', () => resolve('')))
  try {
    return (await Promise.race([terminal.question(question), closed])).trim()
  } finally {
    terminal.close()
  }
}

/** Of commands that ask with {@link confirmLoss}, and refuse in production. */
export const lossFlags = {
  yes: Flags.boolean({ char: 'y', description: 'do not ask' }),
  force: Flags.boolean({ description: 'also in production' }),
}

/**
 * Asks on a terminal whether data may be lost, where everything but yes is no. Without one nobody is asked.
 *
 * @param loss what the command does
 * @throws {PlinthError} CONFIRMATION_MISSING
 */
export async function confirmLoss(question: string, loss: string): Promise<void> {
  if (!canAsk() || /^y(es)?$/i.test(await ask(`${question} [y/N] `))) return
  throw errors.CONFIRMATION_MISSING(loss, 'answer y, or add --yes')
}

/**
 * Asks several questions on one terminal, on stderr.
 *
 * @returns what `work` makes of the answers; undefined: it was broken off, by Ctrl-C or Ctrl-D
 */
export async function askSeveral<T>(
  work: (ask: (question: string) => Promise<string>) => Promise<T>,
): Promise<T | undefined> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const left = new AbortController()
  terminal.once('close', () => left.abort())
  try {
    return await work((question) => terminal.question(question, { signal: left.signal }))
  } catch (error) {
    if ((error as Error).name === 'AbortError') return undefined
    throw error
  } finally {
    terminal.close()
  }
}

/**
 * A password for `who`: asked for twice on a terminal that does not show it, else the first line of stdin. It is never an
 * argument, which others on the machine and the shell's history would see.
 *
 * @throws {PlinthError} USAGE_INVALID where there is none, or two differ
 */
export async function askPassword(who: string): Promise<string> {
  const isTerminal = process.stdin.isTTY === true
  const password = isTerminal ? await askHidden(`Password of ${who}: `) : await firstLine()
  if (password === '')
    throw errors.USAGE_INVALID(
      'Nothing has been done: there was no password, on the terminal or as a line of stdin',
    )
  if (isTerminal && (await askHidden('The same again: ')) !== password)
    throw errors.USAGE_INVALID('Nothing has been done: the two passwords differ')
  return password
}

/** Ctrl-C and Ctrl-D answer nothing, `''`. */
async function askHidden(question: string): Promise<string> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true })
  const closed = new Promise<string>((resolve) => terminal.once('close', () => resolve('')))
  try {
    const answer = terminal.question('')
    // Only now does the terminal show nothing.
    process.stderr.write(question)
    return await Promise.race([answer, closed])
  } finally {
    terminal.close()
    process.stderr.write('\n')
  }
}

async function firstLine(): Promise<string> {
  const lines = createInterface({ input: process.stdin })
  for await (const line of lines) return line
  return ''
}
