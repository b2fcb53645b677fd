/**
 * Runs a program in this one's place: same stdio, signals passed on; where a signal ends it, the same
 * ends this process.
 *
 * @param env added to the environment; default: nothing
 * @returns its exit code; rejects when it cannot be started
 */
export function superviseChild(
  command: string,
  args: readonly string[],
  env?: Readonly<Record<string, string>>,
): Promise<number>
