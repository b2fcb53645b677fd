import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isAlive, sweepFolders } from '../http/received-files.ts'

/** A database that nobody else has. */
export interface IsolatedDatabase {
  readonly url: string
  /** Puts back what was in it. What has been made of tables meanwhile is emptied, on SQLite also put back as it was. */
  restore(): Promise<void>
  /** When nobody uses it any more; may be called again. */
  close(): Promise<void>
}

/** What is in a database from the beginning. */
export interface Template {
  /** The same text: the same tables. */
  readonly key: string
  /** Whether other processes of this run come to the same, and need not do it again. */
  readonly isShared: boolean
  /** Makes the tables. */
  migrate(url: string): Promise<void>
  /** Adds what tests begin with; undefined: nothing. */
  readonly setUp: ((url: string) => Promise<void>) | undefined
  /** Tells one `setUp` from others. */
  readonly setUpKey: unknown
}

/** The process that has started those of this run: of a file that is run by itself, its own. */
export const RUN =
  process.env.NODE_TEST_CONTEXT !== undefined || process.env.TAP_CHILD_ID !== undefined
    ? process.ppid
    : process.pid

/** A folder of a process, `plinth-test-PID-NAME`. */
export const folderOf = (pid: number, name: string): string =>
  join(tmpdir(), `plinth-test-${pid}-${name}`)

/** Takes away the folders of processes that were killed, and could not. */
export function sweepDatabases(): void {
  sweepFolders(tmpdir(), (name) => {
    const pid = /^plinth-test-(\d+)-/.exec(name)?.[1]
    return pid !== undefined && !isAlive(Number(pid))
  })
}
