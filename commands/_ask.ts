import { createInterface } from 'node:readline/promises'
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
