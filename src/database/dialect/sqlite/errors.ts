import { setTimeout as sleep } from 'node:timers/promises'
import { errors } from '../../../errors.ts'
import { TAKES_NOT, TOO_LONG, type Violation, type Violations } from '../errors.ts'

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

// SQLITE_CONSTRAINT_ and what is in the comment. A deferred key, as `no action` is, has the same number both ways.
const VIOLATIONS: Violations = new Map([
  // UNIQUE, PRIMARYKEY, ROWID
  [2067, { kind: 'unique' }],
  [1555, { kind: 'unique' }],
  [2579, { kind: 'unique' }],
  // FOREIGNKEY, TRIGGER (on delete restrict)
  [787, { kind: 'missing' }],
  [1811, { kind: 'referred' }],
  // CHECK, DATATYPE (of a strict table); SQLITE_MISMATCH, SQLITE_TOOBIG
  [275, { kind: 'value', problem: TAKES_NOT }],
  [3091, { kind: 'value', problem: TAKES_NOT }],
  [20, { kind: 'value', problem: TAKES_NOT }],
  [18, { kind: 'value', problem: TOO_LONG }],
])

// `cannot store TEXT value in INTEGER column city.size`
const PLACE = / column [^.]+\.(.+)$/

/** What a statement has failed on, where it was for what it said. */
export function violationOf(error: Error): Violation | undefined {
  const known = VIOLATIONS.get((error as { errcode?: unknown }).errcode)
  const column = known?.kind === 'value' ? PLACE.exec(error.message)?.[1] : undefined
  return known && { ...known, ...(column !== undefined && { column }) }
}

/** Whether what others did at the same time was in the way. */
export const isConflict = (error: Error): boolean => isBusy(error)
