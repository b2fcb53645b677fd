import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { execute, mysql } from '../../../servers/mysql.ts'
import { findProgram } from '../../../servers/program.ts'
import { untilReady } from '../../../servers/ready.ts'
import { type Logged, Sandbox } from '../../../servers/sandbox.ts'

/** A server of a test's own, which it may stop, kill and start again. */
export interface OwnServer {
  /** Of a database `test` on it. */
  readonly url: string
  kill(): Promise<void>
  /** Connections stay, and nothing is answered until it goes on. */
  silence(): Promise<void>
  goOn(): void
  /** Starts it again, with the same data on the same port, and waits until it answers. */
  restart(): Promise<void>
}

// Remembers what started the server last, to do it again.
class RecordingSandbox extends Sandbox {
  last: { started: Logged; again: () => Logged } | undefined

  override spawnLogged(name: string, command: string, args: readonly string[]): Logged {
    const again = () => super.spawnLogged(name, command, args)
    const started = again()
    this.last = { started, again }
    return started
  }
}

/** Starts a server, which is gone when the test ends. */
export async function ownServer(t: Test): Promise<OwnServer> {
  const program = findProgram(mysql.programs)
  if (!program) throw new Error(`This test needs a server of its own: install ${mysql.package}`)
  const sandbox = new RecordingSandbox()
  t.teardown(() => sandbox.close())
  const server = await mysql.start(program, sandbox)
  await execute(server, 'CREATE DATABASE test')
  const current = () => {
    if (!sandbox.last) throw new Error('the server has been started')
    return sandbox.last
  }
  return {
    url: `${server}/test`,
    async kill() {
      const { process } = current().started
      process.kill('SIGKILL')
      await once(process, 'exit')
    },
    async silence() {
      current().started.process.kill('SIGSTOP')
      for (let turn = 0; turn < 100; turn++) if (!(await greets(server))) return
      throw new Error('the server did not go silent')
    },
    goOn() {
      current().started.process.kill('SIGCONT')
    },
    async restart() {
      const last = current()
      last.started = last.again()
      await untilReady('the server', last.started, () => execute(server, 'DO 1'))
    },
  }
}

// A server of MySQL speaks first.
async function greets(url: string): Promise<boolean> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  const greeted = await Promise.race([once(socket, 'data').then(() => true), delay(200, false)])
  socket.destroy()
  return greeted
}
