import { readFileSync } from 'node:fs'
import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import type { ContractChange } from '../../src/remote/contract-diff.ts'
import type { RecordedClient } from '../../src/remote/recorded-client.ts'
import { BaseCommand } from '../_base.ts'

export default class ContractDiff extends BaseCommand {
  static override summary = 'Tell what of a changed contract breaks its callers'
  static override description =
    'Compares two files of contract export. Exits 1 where calls that were right may fail, or their results be misunderstood.'
  static override examples = [
    '<%= config.bin %> contract diff old.json new.json',
    '<%= config.bin %> contract diff old.json new.json --clients orders.json,billing.json --json',
  ]
  static override enableJsonFlag = true
  static override args = {
    old: Args.string({ description: 'the contract that callers know', required: true }),
    new: Args.string({ description: 'the contract that is to be', required: true }),
  }
  static override flags = {
    clients: Flags.string({
      description: 'files of what clients call (REMOTE_USES), with commas between them',
    }),
  }

  async run(): Promise<ContractChange[]> {
    const { args, flags } = await this.parse(ContractDiff)
    const { asContract } = await import('../../src/remote/contract.ts')
    const { diffContracts } = await import('../../src/remote/contract-diff.ts')
    const { asRecordedClient } = await import('../../src/remote/recorded-client.ts')
    const files = flags.clients?.split(',') ?? []
    const clients: RecordedClient[] = files.map((file) => this.read(file, asRecordedClient))
    const [before, after] = [this.read(args.old, asContract), this.read(args.new, asContract)]
    const changes = diffContracts(before, after, clients)
    for (const { level, resource, change, calledBy } of changes) {
      const callers = calledBy.length > 0 ? ` (called by ${calledBy.join(', ')})` : ''
      this.log('%s', `${level.padEnd(10)} ${resource}: ${change}${callers}`)
    }
    if (changes.length === 0) this.log('no changes')
    if (changes.some(({ level }) => level === 'breaking')) process.exitCode = 1
    return changes
  }

  private read<T>(file: string, as: (value: unknown) => T): T {
    try {
      return as(JSON.parse(readFileSync(file, 'utf8')))
    } catch (error) {
      return this.error(`${file} cannot be used: ${(error as Error).message}`, { exit: 2 })
    }
  }
}
