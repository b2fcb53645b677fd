import { existsSync, readdirSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import {
  type Answers,
  AUTHS,
  CIS,
  DATABASES,
  DEFAULTS,
  problemOfName,
  settle,
} from '../src/template/answers.ts'
import { canAsk } from './_ask.ts'
import { BaseCommand } from './_base.ts'

interface NewResult {
  folder: string
  files: string[]
  /** Whether it is a git repository with a first commit. */
  committed: boolean
}

/** What the flags say; undefined: nothing. */
type Told = { [Question in keyof Answers]?: Answers[Question] | undefined }

export default class New extends BaseCommand {
  static override summary = 'Make a new service'
  static override description =
    'Makes a folder with a service that runs: a first module with model, migration, seed, resources and tests, in a git repository. On a terminal it asks what no flag has told; with --yes the defaults count.'
  static override examples = [
    '<%= config.bin %> new',
    '<%= config.bin %> new billing',
    '<%= config.bin %> new billing --database mysql --redis --auth jwt --ci github --yes',
    '<%= config.bin %> new billing --yes --dry-run',
  ]
  static override enableJsonFlag = true
  static override args = {
    name: Args.string({
      description:
        'of the service and its folder: lower case letters, digits and -; asked for on a terminal',
    }),
  }
  static override flags = {
    database: Flags.string({ options: DATABASES, description: 'default sqlite' }),
    redis: Flags.boolean({
      allowNo: true,
      description: 'cached results and tasks of all processes in Redis; default no',
    }),
    tasks: Flags.boolean({
      allowNo: true,
      description: 'a first task with a schedule, and a process that runs tasks; default no',
    }),
    auth: Flags.string({
      options: AUTHS,
      description:
        'how users are known: jwt, a token of a login service; session, name and password; bk, the login of BlueKing; default none',
    }),
    ci: Flags.string({
      options: CIS,
      description: 'a file for continuous integration; default none',
    }),
    docker: Flags.boolean({
      allowNo: true,
      description: 'a Dockerfile, and a compose.yaml with what the service needs; default no',
    }),
    kubernetes: Flags.boolean({
      allowNo: true,
      description: 'manifests of Kubernetes; default no',
    }),
    blueking: Flags.boolean({
      allowNo: true,
      description: 'an app_desc.yaml for a BlueKing PaaS; default no',
    }),
    'app-code': Flags.string({
      helpValue: 'CODE',
      description: 'with --auth bk or --blueking: what BlueKing calls it; default: the name',
    }),
    in: Flags.string({ helpValue: 'FOLDER', description: 'the folder to make; default: the name' }),
    git: Flags.boolean({ allowNo: true, default: true, description: 'with a first commit' }),
    plinth: Flags.string({
      helpValue: 'VERSION',
      description: 'the kit that it installs, as package.json says it; default: this one',
    }),
    yes: Flags.boolean({ char: 'y', description: 'ask nothing' }),
    'dry-run': Flags.boolean({ description: 'write nothing, and list what would be written' }),
  }

  async run(): Promise<NewResult> {
    const { args, flags } = await this.parse(New)
    const name = args.name ?? (await this.askName(flags.yes))
    const problem = problemOfName(name)
    if (problem) return this.error(problem, { exit: 2 })
    const folder = resolve(flags.in ?? name)
    const { errors } = await import('../src/errors.ts')
    if (isTaken(folder)) throw errors.FILE_EXISTS(folder, 'say another folder with --in')
    const { database, redis, tasks, auth, ci, docker, kubernetes, blueking } = flags
    const appCode = flags['app-code']
    const told = { database, redis, tasks, auth, ci, docker, kubernetes, blueking, appCode }
    const answers = await this.complete(name, told as Told, flags.yes)
    const { serviceFiles, settingsOf } = await import('../src/template/service-files.ts')
    const { remember } = await import('../src/template/remembered.ts')
    const { kit } = await import('../src/process/kit.ts')
    const made = await serviceFiles(answers, flags.plinth)
    const files = [...made, settingsOf(answers), remember(kit().version, answers, made)]
    const result = {
      folder,
      files: files.map(({ path }) => path),
      committed: false,
    }
    if (!flags['dry-run']) {
      const { writeFiles } = await import('../src/files.ts')
      writeFiles(
        files.map((file) => ({ ...file, path: join(folder, file.path) })),
        false,
      )
      if (flags.git) result.committed = await this.commit(folder)
    }
    this.tell(result, flags['dry-run'])
    return result
  }

  private async askName(yes: boolean): Promise<string> {
    if (yes || !canAsk()) return this.error('Say the name of the service', { exit: 2 })
    const { askName } = await import('./_questions.ts')
    return (await askName()) ?? this.error('Nothing has been made', { exit: 1 })
  }

  /** Asks on a terminal what is not told. */
  private async complete(name: string, told: Told, yes: boolean): Promise<Answers> {
    let known = Object.fromEntries(
      Object.entries(told).filter(([, value]) => value !== undefined),
    ) as Partial<Answers>
    const open = Object.keys(DEFAULTS).filter((key) => key !== 'appCode' && !(key in known))
    if (!yes && open.length > 0) {
      if (!canAsk())
        return this.error(
          `There is no terminal to ask on: add --yes for the defaults, or say ${open.map((key) => `--${key}`).join(', ')}`,
          { exit: 2 },
        )
      const { askAnswers } = await import('./_questions.ts')
      const answered = await askAnswers(name, known)
      if (!answered) return this.error('Nothing has been made', { exit: 1 })
      known = answered
    }
    const answers = settle(name, known)
    return typeof answers === 'string' ? this.error(answers, { exit: 2 }) : answers
  }

  private async commit(folder: string): Promise<boolean> {
    const { commitAll } = await import('../src/template/git.ts')
    const problem = commitAll(folder, 'A new service')
    if (problem) this.logToStderr(`note: there is no first commit: ${problem}`)
    return problem === undefined
  }

  private tell({ folder, files }: NewResult, isDry: boolean): void {
    const shown = relative(process.cwd(), folder) || '.'
    for (const path of files) this.log('%s %s', isDry ? 'would write' : 'wrote', join(shown, path))
    if (!isDry) this.logToStderr(`Next: cd ${shown} && npm install && npm start`)
  }
}

function isTaken(folder: string): boolean {
  return existsSync(folder) && readdirSync(folder).length > 0
}
