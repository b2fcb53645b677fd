import { mysql, prepareMysql } from '../servers/mysql.ts'
import { findProgram } from '../servers/program.ts'
import { Sandbox } from '../servers/sandbox.ts'
import { type OwnServer, ownServer } from './own-server.ts'

/** Starts a MariaDB or MySQL, with `more` arguments, which is gone when the test or the proof ends. Its URL names no database. */
export async function ownMysql(
  t: { teardown(work: () => unknown): void },
  more: readonly string[] = [],
): Promise<OwnServer> {
  const program = findProgram(mysql.programs)
  if (!program) throw new Error(`This test needs a server of its own: install ${mysql.package}`)
  const sandbox = new Sandbox()
  t.teardown(() => sandbox.close())
  const { url, spawn, ready } = await prepareMysql(program, sandbox, more)
  const own = ownServer(url, spawn, ready)
  await own.restart()
  return own
}
