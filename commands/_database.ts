import * as Flags from '@oclif/core/flags'
import type { RunOptions } from '../src/database/migration/executor.ts'
import type { MigrationEvent } from '../src/database/migration/migrator.ts'

/** How a command waits for other processes that migrate. */
export const lockFlags = {
  'lock-timeout': Flags.integer({
    min: 0,
    default: 60,
    description: 'how many seconds to wait for another process',
  }),
  lease: Flags.boolean({
    description: 'MySQL: lock with a row that is renewed, not with GET_LOCK (Galera, some proxies)',
  }),
}

/** How an operator settles what nobody else can know of a migration that was interrupted. */
export const settlementFlags = {
  resume: Flags.boolean({
    exclusive: ['mark-applied'],
    description: 'the statement in doubt has not happened: run it again',
  }),
  'mark-applied': Flags.boolean({
    description: 'the statement in doubt has happened: go on behind it',
  }),
}

interface RunFlags {
  'lock-timeout': number
  lease: boolean
  resume: boolean
  'mark-applied': boolean
}

/** What the flags say to the migrator. */
export function runOptions(flags: RunFlags): RunOptions {
  return {
    lockTimeout: flags['lock-timeout'],
    lock: flags.lease ? 'lease' : undefined,
    settlement: flags.resume ? 'again' : flags['mark-applied'] ? 'done' : undefined,
  }
}

/** Says what an operator who waits wants to know. */
export function tellMigration(event: MigrationEvent, say: (line: string) => void): void {
  if (event.type === 'wait') {
    const who = event.holder ? `${event.holder}, since ${event.since}` : 'another process'
    say(`waiting for the lock of the migrations, held by ${who}`)
  }
  if (event.type === 'renumbered') say(`${event.from} is ${event.name} now: recorded by that name`)
  if (event.type === 'resume') {
    say(`${event.name} was interrupted: going on behind its step ${event.position}`)
  }
}
