import type { Test } from 'tap'
import { MANAGE, type ManageOptions, type Running, startManage } from './manage.ts'

export interface Terminal extends Running {
  /** Presses keys. */
  type(keys: string): void
}

/** Starts `manage` on a terminal of its own (`script` of util-linux), as `program` says. */
export function startOnTerminal(
  t: Test,
  args: readonly string[],
  { program = [process.execPath, MANAGE], env, ...options }: ManageOptions = {},
): Terminal {
  const words = [...program, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`)
  const running = startManage(t, [], {
    ...options,
    env: { TERM: 'xterm', SHELL: '/bin/sh', ...env },
    input: null,
    // Without `exec` its shell would stay, and end by Ctrl-C, too.
    program: ['script', '-qec', `exec ${words.join(' ')}`, '/dev/null'],
  })
  return { ...running, type: (keys) => running.process.stdin.write(keys) }
}
