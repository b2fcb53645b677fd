import { writeFileSync } from 'node:fs'
import * as Flags from '@oclif/core/flags'
import { errors } from '../../src/errors.ts'
import { BaseCommand } from '../_base.ts'

export default class ContractExport extends BaseCommand {
  static override summary = 'Write what callers of the service know of it'
  static override description =
    'JSON: each resource that has a route, with its place, schemas, status and errors. The same service gives the same text: keep it beside the code, and compare.'
  static override examples = [
    '<%= config.bin %> contract export > contract.json',
    '<%= config.bin %> contract export --out contract.json',
  ]
  static override flags = {
    out: Flags.string({ char: 'o', description: 'the file; default: stdout' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(ContractExport)
    const text = await this.withApp(async (app, { service }) => {
      const { contractOf, writeContract } = await import('../../src/remote/contract.ts')
      const { name, version, routes } = service
      return writeContract(contractOf(app, { name, version, tasks: routes?.tasks }))
    })
    if (flags.out === undefined) return this.log('%s', text.trimEnd())
    try {
      writeFileSync(flags.out, text)
    } catch (cause) {
      throw errors.FILE_UNWRITABLE.with({ cause }, flags.out, (cause as Error).message)
    }
    this.log(`wrote ${flags.out}`)
  }
}
