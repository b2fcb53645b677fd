import { join, relative, resolve } from 'node:path'
import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import { problemOfName } from '../src/template/answers.ts'
import { KINDS, type Kind, problemOfMade } from '../src/template/make.ts'
import { BaseCommand } from './_base.ts'

interface MakeResult {
  created: string[]
  changed: string[]
  /** What is left to do. */
  todo: string[]
}

export default class Make extends BaseCommand {
  static override summary = 'Write the first code of a module, a resource, a plugin …'
  static override description =
    'Writes code with its test, and lists it where the service has such things. A file that is there is never replaced. What it cannot find in the code of the service it says.'
  static override examples = [
    '<%= config.bin %> make module orders',
    '<%= config.bin %> make resource orders/approve',
    '<%= config.bin %> make command orders/export --dry-run',
    '<%= config.bin %> make plugin sms-gate --package',
  ]
  static override enableJsonFlag = true
  static override args = {
    kind: Args.string({ required: true, options: KINDS, description: 'what' }),
    name: Args.string({
      required: true,
      description:
        'lower case letters, digits and -; of a resource, a task or a model: MODULE/NAME',
    }),
  }
  static override flags = {
    package: Flags.boolean({ description: 'plugin: as a package, for many services' }),
    in: Flags.string({
      helpValue: 'FOLDER',
      description: 'the folder of the package; default: packages/ and its name',
      dependsOn: ['package'],
    }),
    'dry-run': Flags.boolean({ description: 'write nothing, and list what would be written' }),
  }

  async run(): Promise<MakeResult> {
    const { args, flags } = await this.parse(Make)
    const kind = args.kind as Kind
    const { root } = this.locate()
    const problem = problemOfMade(kind, args.name) ?? this.problemOfPackage(kind, args.name, flags)
    if (problem) return this.error(problem, { exit: 2 })
    const { make, makePackage } = await import('../src/template/make.ts')
    const { writeFiles } = await import('../src/files.ts')
    const { created, changed, todo } = flags.package
      ? makePackage(args.name, resolve(flags.in ?? join(root, 'packages', args.name)), root)
      : make(kind, args.name, root)
    if (!flags['dry-run']) {
      // First, as it fails where one is there.
      writeFiles(created, false)
      writeFiles(changed, true)
    }
    const shown = (files: readonly { path: string }[]) =>
      files.map(({ path }) => relative(root, path))
    const result = { created: shown(created), changed: shown(changed), todo: [...todo] }
    const would = flags['dry-run']
    for (const path of result.created) this.log('%s %s', would ? 'would write' : 'wrote', path)
    for (const path of result.changed) this.log('%s %s', would ? 'would change' : 'changed', path)
    for (const line of todo) this.logToStderr(`to do: ${line}`)
    return result
  }

  private problemOfPackage(kind: Kind, name: string, flags: { package: boolean }) {
    if (!flags.package) return undefined
    return kind === 'plugin' ? problemOfName(name) : '--package is for a plugin'
  }
}
