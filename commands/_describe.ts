import { PlinthError } from '../src/errors.ts'

/**
 * What the operator is told of an error: code, message and places where it is one of ours, everything
 * where nobody foresaw it.
 */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (!PlinthError.is(error)) return error.stack ?? error.message
  // The message of CONFIG_INVALID has them already.
  const details = error.errors?.filter(({ message }) => !error.message.includes(message)) ?? []
  const places = details.map(({ path, message }) => `  ${path || '/'} ${message}`)
  return [`error ${error.code}: ${error.message}`, ...places].join('\n')
}
