/** Whether `version` (`20.1.0`) is older than the kit's `engines`. */
export function isTooOld(version: string): boolean

/** Runs `script` with the pinned Node.js and ends as it does. */
export function handOver(script: string, args: readonly string[]): Promise<never>
