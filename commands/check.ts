import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as Flags from '@oclif/core/flags'
import type { FastifyInstance } from 'fastify'
import type { AccessSamples, DecidedAccess } from '../src/auth/access-matrix.ts'
import type { AskedOperation } from '../src/auth/sample-decisions.ts'
import type { Finding } from '../src/check/finding.ts'
import { BaseCommand } from './_base.ts'

export default class Check extends BaseCommand {
  static override summary = 'Check that the service is fit to run'
  static override description =
    'Reads the configuration, builds the app, asks every attached resource, looks at request schemas for what may take long to validate, looks for migrations that have not been applied, for models that they do not lead to, and at what they would do to the release that is running, and for orders and filters of long lists that no index serves. With --auth: who gets what. Exits 1 when something is wrong.'
  static override examples = [
    '<%= config.bin %> check',
    '<%= config.bin %> check --json',
    '<%= config.bin %> check --strict',
    '<%= config.bin %> check --deploy --grace-period 60',
    '<%= config.bin %> check --auth',
  ]
  static override enableJsonFlag = true
  static override flags = {
    deploy: Flags.boolean({
      description:
        'look also at what only matters where it is deployed, in the environment of there; each finding has a code, which docs/checks.md explains',
    }),
    'grace-period': Flags.integer({
      min: 1,
      default: 30,
      helpValue: 'SECONDS',
      description: 'with --deploy: how long the platform waits between SIGTERM and SIGKILL',
    }),
    strict: Flags.boolean({ description: 'exit with 1 for a warning, too' }),
    auth: Flags.boolean({
      description:
        'list what nobody and what a user gets of each operation, or, where the service has an access.ts, what its users get, and check nothing else',
      exclusive: ['strict', 'deploy'],
    }),
  }

  async run(): Promise<Finding[] | DecidedAccess[] | AskedOperation[]> {
    const { flags } = await this.parse(Check)
    if (flags.auth) return await this.listAccess()
    const loaded = await this.loadService()
    const { checkService } = await import('../src/check/check-service.ts')
    const platform = flags.deploy ? { gracePeriod: flags['grace-period'] } : undefined
    const findings = await checkService(loaded, platform)
    for (const finding of findings) this.tell(finding, flags.deploy)
    const isBad = ({ level }: Finding) => level === 'error' || (flags.strict && level === 'warning')
    if (findings.some(isBad)) process.exitCode = 1
    return findings
  }

  private tell(
    { level, check, message, code, remedy, page, accepted }: Finding,
    isLong: boolean,
  ): void {
    const reason = accepted ? ` (accepted: ${accepted})` : ''
    this.log('%s', `${level.padEnd(7)} ${check}: ${message}${reason}`)
    if (isLong && level !== 'ok')
      this.log(
        '%s',
        [`${' '.repeat(8)}${code}:`, remedy, page && `(${page})`].filter(Boolean).join(' '),
      )
  }

  private async listAccess(): Promise<DecidedAccess[] | AskedOperation[]> {
    return await this.withApp(async (app, { root }) => {
      const samples = join(root, 'access.ts')
      return existsSync(samples) ? await this.askSamples(app, samples) : await this.tellDecided(app)
    })
  }

  /** What is decided, whoever somebody is. */
  private async tellDecided({ registry }: FastifyInstance): Promise<DecidedAccess[]> {
    const { decidedAccess } = await import('../src/auth/access-matrix.ts')
    const { formatTable } = await import('./_print.ts')
    const decided = decidedAccess(registry)
    const rows = decided.map(({ operation, method, path, nobody, user }) => [
      operation,
      method,
      path,
      nobody,
      user,
    ])
    this.log(formatTable([['OPERATION', 'METHOD', 'PATH', 'NOBODY', 'A USER'], ...rows]))
    return decided
  }

  /** What the users of `file` get. */
  private async askSamples(app: FastifyInstance, file: string): Promise<AskedOperation[]> {
    const { askSamples } = await import('../src/auth/sample-decisions.ts')
    const { importDefault } = await import('../src/process/load.ts')
    const { formatTable } = await import('./_print.ts')
    const wanted = 'what defineSamples of plinth/auth returns'
    const samples = await importDefault<AccessSamples>(file, wanted, 'object')
    const asked = await askSamples(app, samples)
    const rows = asked.map(({ operation, method, path, gets }) => [
      operation,
      method,
      path,
      ...Object.values(gets).map(String),
    ])
    this.log(formatTable([['OPERATION', 'METHOD', 'PATH', ...Object.keys(samples.users)], ...rows]))
    for (const { operation, problems } of asked)
      for (const problem of problems) this.log(`error   ${operation}: ${problem}`)
    if (asked.some(({ problems }) => problems.length > 0)) process.exitCode = 1
    return asked
  }
}
