import { randomBytes } from 'node:crypto'
import Type from 'typebox'
import { renderExample } from '../config/example.ts'
import { defineService, type ServiceDefinition } from '../define-service.ts'
import { planDeployment } from '../deploy/plan.ts'
import { filesOf, type Target } from '../deploy/targets.ts'
import { configOwners } from '../kit.ts'
import { definePlugin } from '../plugin.ts'
import { kit } from '../process/kit.ts'
import { defineModule } from '../resource/module.ts'
import { defineResource } from '../resource/resource.ts'
import type { Answers } from './answers.ts'
import { packagesOf } from './packages.ts'
import { type TemplateFile, templateFiles } from './template-files.ts'

/** Files that only some answers ask for. */
const ONLY: Readonly<Record<string, (answers: Answers) => boolean>> = {
  '.github/workflows/ci.yml': ({ ci }) => ci === 'github',
  'src/notes/report.ts': ({ tasks }) => tasks,
  'pnpm-workspace.yaml': ({ redis }) => redis,
}

/** What `plugins/version.ts` reads: the template gets it from here, as `.env.example` does. */
const REVISION = { default: 'unknown', description: 'The commit that was built.' } as const

/** What the template writes for these answers, the `.env` and what is remembered excepted. @param plinth as in `packagesOf` */
export async function serviceFiles(answers: Answers, plinth?: string): Promise<TemplateFile[]> {
  const { name, appCode } = answers
  const names = {
    NAME: name,
    SNAKE: name.replaceAll('-', '_'),
    APP_CODE: appCode,
    REVISION: `{ default: '${REVISION.default}', description: '${REVISION.description}' }`,
  }
  const files = templateFiles('service', { ...answers }, names)
    .filter(({ path }) => ONLY[path]?.(answers) ?? true)
    .map((file) =>
      file.path === 'package.json'
        ? { ...file, text: withPackages(file.text, answers, plinth) }
        : file,
    )
  const service = await serviceOf(answers)
  const texts = [
    { path: '.env.example', text: renderExample(configOwners(service)) },
    ...(await deployFiles(service, answers)),
  ]
  return [...files, ...texts.map((file) => ({ ...file, executable: false }))]
}

/** What `manage deploy` would write. @throws {PlinthError} PACKAGE_MISSING */
async function deployFiles(
  service: ServiceDefinition,
  { docker, kubernetes, blueking, redis }: Answers,
) {
  const targets: Target[] = [
    ...(docker ? (['docker', 'compose'] as const) : []),
    ...(kubernetes ? (['kubernetes'] as const) : []),
    ...(blueking ? (['blueking'] as const) : []),
  ]
  if (targets.length === 0) return []
  const plan = planDeployment(service, '.', { redis })
  return (await Promise.all(targets.map((target) => filesOf(target, plan)))).flat()
}

function withPackages(text: string, answers: Answers, plinth: string | undefined): string {
  const manifest = { ...JSON.parse(text), ...packagesOf(answers, kit(), plinth) }
  return `${JSON.stringify(manifest, null, 2)}\n`
}

/** The `.env` of who has made the service: it is not in git, as are its secrets. */
export function settingsOf({ name, database, auth, appCode }: Answers): TemplateFile {
  const secret = () => randomBytes(32).toString('hex')
  const lines = [
    ...(database === 'mysql'
      ? [`DATABASE_URL=mysql://root:root@127.0.0.1:3306/${name.replaceAll('-', '_')}`]
      : []),
    ...(auth === 'jwt' ? [`JWT_KEY=${secret()}`, `JWT_AUDIENCE=${name}`] : []),
    ...(auth === 'session' ? [`SESSION_SECRET=${secret()}`] : []),
    ...(auth === 'bk' ? ['BK_LOGIN_URL=https://paas.example.com/login'] : []),
    ...(appCode ? [`BKPAAS_APP_ID=${appCode}`] : []),
  ]
  const head = '# Of this machine alone; bin/manage config --example lists all that can be set.'
  return { path: '.env', text: `${[head, ...lines].join('\n')}\n`, executable: false }
}

/** The service once it is installed, as far as its settings and its deployment go. */
async function serviceOf({ name, auth, tasks }: Answers): Promise<ServiceDefinition> {
  const version = definePlugin({
    name: 'version',
    env: Type.Object({ REVISION: Type.String(REVISION) }),
    register() {},
  })
  const plugins = [version, ...(await PLUGINS[auth]())]
  const report = defineResource({ summary: '', expose: false, task: {}, perform: () => null })
  const notes = defineModule({ prefix: '/notes', resources: tasks ? { report } : {} })
  const worker = tasks ? { worker: 'manage worker' } : {}
  const processes = { web: 'manage serve', ...worker, release: 'manage migrate' }
  return defineService({ name, version: '0.1.0', modules: { notes }, plugins, processes })
}

/** Those of `src/service.ts`. */
const PLUGINS = {
  none: async () => [],
  jwt: async () => [(await import('../../plugins/bearer.ts')).default()],
  bk: async () => [(await import('../../plugins/bk-login.ts')).default()],
  session: async () => [
    (await import('../../plugins/users.ts')).default(),
    (await import('../../plugins/session.ts')).default({ users: true }),
  ],
} as const
