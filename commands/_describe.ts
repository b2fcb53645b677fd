import { PlinthError } from '../src/errors.ts'
import { atSources } from '../src/process/source-lines.ts'

/** An error with an exit code of its own: of oclif, or of a command by `this.error()` or, as `EEXIT`, `this.exit()`. */
export interface OclifError extends Error {
  code?: string
  oclif?: { exit?: number }
}

/**
 * What the operator is told of an error: code, message and places where it is one of ours, everything
 * where nobody foresaw it.
 */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (!PlinthError.is(error))
    return error.stack === undefined ? error.message : atSources(error.stack)
  // The message of CONFIG_INVALID has them already.
  const details = error.errors?.filter(({ message }) => !error.message.includes(message)) ?? []
  const places = details.map(({ path, message }) => `  ${path || '/'} ${message}`)
  return [`error ${error.code}: ${error.message}`, ...places].join('\n')
}

/** What `--json` prints of an error. */
export function errorJson(error: unknown): unknown {
  if (!PlinthError.is(error)) {
    return { error: { message: error instanceof Error ? error.message : String(error) } }
  }
  const { code, message, errors: details } = error
  return { error: { code, message, ...(details && { errors: details }) } }
}
