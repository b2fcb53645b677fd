/**
 * Whether a signal has come from a terminal, which sends it (Ctrl-C) to the processes that this one has started, too: passed on
 * as well, it would count as a second one.
 */
export function reachesAll(signal: NodeJS.Signals): boolean

/**
 * Runs a program in this one's place: same stdio, signals passed on; where a signal ends it, the same
 * ends this process.
 *
 * @param env added to the environment; default: nothing
 * @param stdio default: this process' own
 * @returns its exit code; rejects when it cannot be started
 */
export function superviseChild(
  command: string,
  args: readonly string[],
  env?: Readonly<Record<string, string>>,
  stdio?: 'inherit' | ('inherit' | 'ipc')[],
): Promise<number>

/** What a `manage` is started with that ends where this process does, however that ends. */
export const tie: { env: Readonly<Record<string, string>>; stdio: ('inherit' | 'ipc')[] }

/** Ends this process by SIGTERM when the one that has started it with `tie` is gone. */
export function endWithParent(): void
