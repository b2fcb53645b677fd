/**
 * `plinth/command`: what a command of a service is made of. Apart from `BaseCommand`, which the kit's commands load with
 * the parts of oclif that each needs.
 */
export * as Args from '@oclif/core/args'
export * as Flags from '@oclif/core/flags'
export { BaseCommand } from './_base.ts'
