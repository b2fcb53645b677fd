import { join } from 'node:path'
import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import type { Drift } from '../src/template/drift.ts'
import type { Change } from '../src/template/upgrade.ts'
import { BaseCommand } from './_base.ts'
import { formatTable } from './_print.ts'

interface UpgradeResult {
  from: string
  to: string
  changes: { path: string; state: Change['state']; note?: string }[]
}

export default class Upgrade extends BaseCommand {
  static override summary = 'Bring what a new service has today into this one'
  static override description =
    'Merges what has changed in the template since the service was made with what its team has changed since: where both have changed the same lines, the file has <<<<<<< in it, and the exit code is 1. Code of the first module is the team’s from the beginning.'
  static override examples = [
    '<%= config.bin %> upgrade --check',
    '<%= config.bin %> upgrade --dry-run',
    '<%= config.bin %> upgrade',
    '<%= config.bin %> upgrade --status ../billing https://git.example.com/orders.git',
  ]
  static override enableJsonFlag = true
  static override strict = false
  static override args = {
    folders: Args.string({
      description: 'of services, or URLs of their repositories, for --status; default: this one',
    }),
  }
  static override flags = {
    check: Flags.boolean({
      description: 'exit with 1 where it is behind; write nothing',
      exclusive: ['status', 'adopt'],
    }),
    'dry-run': Flags.boolean({ description: 'write nothing, and list what would change' }),
    status: Flags.boolean({ description: 'list how far services are from the template' }),
    adopt: Flags.string({
      helpValue: 'ANSWERS',
      description:
        'of a service that does not know what it was made from: database=mysql,auth=jwt,redis=true as manage new was told; it counts as made from the template of today',
    }),
    force: Flags.boolean({
      description: 'also where something is not committed, or with --adopt is known already',
    }),
  }

  async run(): Promise<UpgradeResult | Drift[]> {
    const { flags, argv } = await this.parse(Upgrade)
    if (flags.status) return await this.status(argv as string[])
    if (argv.length > 0) return this.error('Folders are for --status', { exit: 2 })
    const { root } = this.locate()
    if (flags.adopt !== undefined) return await this.adopt(root, flags.adopt, flags.force)
    const { planUpgradeOf } = await import('../src/template/plan-upgrade.ts')
    const { remembered, version, theirs, changes, isBehind } = await planUpgradeOf(root)
    const result = {
      from: remembered.version,
      to: version,
      changes: changes.map(({ path, state, note }) => ({ path, state, ...(note && { note }) })),
    }
    for (const { path, state, note } of changes)
      this.log('%s %s%s', state.padEnd(8), path, note ? `: ${note}` : '')
    if (flags.check) process.exitCode = isBehind ? 1 : 0
    if (!isBehind) this.logToStderr('It is up to date')
    if (flags.check || flags['dry-run'] || !isBehind) return result
    await this.write(root, changes, flags.force)
    const { writeFiles } = await import('../src/files.ts')
    const { remember } = await import('../src/template/remembered.ts')
    const kept = remember(version, remembered.answers, theirs)
    writeFiles([{ ...kept, path: join(root, kept.path) }], true)
    const conflicts = changes.filter(({ state }) => state === 'conflict')
    if (conflicts.length > 0) {
      process.exitCode = 1
      const files = conflicts.length === 1 ? '1 file has' : `${conflicts.length} files have`
      this.logToStderr(`${files} <<<<<<< in it: choose there, then commit`)
    }
    return result
  }

  private async write(root: string, changes: readonly Change[], force: boolean): Promise<void> {
    const { problemOfCommits } = await import('../src/template/git.ts')
    const { errors } = await import('../src/errors.ts')
    const { removeFiles, writeFiles } = await import('../src/files.ts')
    const problem = force ? undefined : problemOfCommits(root)
    if (problem) throw errors.UNCOMMITTED(problem)
    const written = changes.flatMap(({ path, text, executable = false }) =>
      text === undefined ? [] : [{ path: join(root, path), text, executable }],
    )
    writeFiles(written, true)
    const deleted = changes.filter(({ state }) => state === 'deleted')
    removeFiles(deleted.map(({ path }) => join(root, path)))
  }

  private async adopt(root: string, text: string, force: boolean): Promise<UpgradeResult> {
    const { readAnswers } = await import('../src/template/answers.ts')
    const { kit } = await import('../src/process/kit.ts')
    const { readManifest } = await import('../src/template/plan-upgrade.ts')
    const { serviceFiles } = await import('../src/template/service-files.ts')
    const { isRemembered, REMEMBERED, remember } = await import('../src/template/remembered.ts')
    const { errors } = await import('../src/errors.ts')
    const { writeFiles } = await import('../src/files.ts')
    const { name, plinth } = readManifest(root)
    const answers = readAnswers(name, text)
    if (typeof answers === 'string') return this.error(answers, { exit: 2 })
    if (!force && isRemembered(root))
      throw errors.FILE_EXISTS(
        join(root, REMEMBERED),
        'it says what the service was made from; add --force to have it say something else',
      )
    const { version } = kit()
    const kept = remember(version, answers, await serviceFiles(answers, plinth))
    writeFiles([{ ...kept, path: join(root, kept.path) }], true)
    this.log('wrote %s', kept.path)
    return { from: version, to: version, changes: [] }
  }

  private async status(folders: readonly string[]): Promise<Drift[]> {
    const { driftOf } = await import('../src/template/drift.ts')
    const places = folders.length > 0 ? folders : [this.locate().root]
    const found: Drift[] = []
    for (const place of places) found.push(await driftOf(place))
    const rows = found.map(({ folder, version, behind, edited, problem }) => [
      folder,
      version ?? '-',
      problem ?? (behind ? 'behind' : 'up to date'),
      problem ? '' : `${edited} edited`,
    ])
    this.log('%s', formatTable(rows))
    if (found.some(({ problem }) => problem)) process.exitCode = 1
    return found
  }
}
