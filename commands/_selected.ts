import type { Command } from '@oclif/core/command'

/** The commands that this run needs: filled before oclif reads it, so that it loads no others. */
export const selected: Record<string, typeof Command> = {}
