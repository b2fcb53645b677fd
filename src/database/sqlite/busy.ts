import { setTimeout as sleep } from 'node:timers/promises'
import { errors } from '../../errors.ts'

const SQLITE_BUSY = 5
const SQLITE_IOERR = 10
const SQLITE_FULL = 13

/** Whether another process had locked the file. */
export function isBusy(error: unknown): boolean {
  return kindOf(error) === SQLITE_BUSY
}

/** Whether the file system did not take what was to be written, or a limit of the process forbids it. */
export function hasNoRoom(error: unknown): boolean {
  const kind = kindOf(error)
  return kind === SQLITE_FULL || kind === SQLITE_IOERR
}

/** The lower 8 bits are the kind, the others tell more of it. */
function kindOf(error: unknown): number | undefined {
  const { errcode } = error as { errcode?: unknown }
  return typeof errcode === 'number' ? errcode & 0xff : undefined
}

/**
 * Runs it again until no other process is in the way. SQLite's own waiting would hold up the whole process,
 * so it waits a moment only (`busy_timeout`), and we wait here.
 *
 * @param timeout milliseconds
 * @throws {PlinthError} DATABASE_BUSY
 */
export async function untilFree<T>(timeout: number, run: () => T): Promise<T> {
  const deadline = performance.now() + timeout
  for (;;) {
    try {
      return run()
    } catch (cause) {
      if (!isBusy(cause)) throw cause
      if (performance.now() >= deadline) throw errors.DATABASE_BUSY.with({ cause }, timeout)
    }
    await sleep(5 + Math.random() * 10)
  }
}
