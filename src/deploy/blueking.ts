import { errors } from '../errors.ts'
import type { DeployFile, Plan } from './plan.ts'
import type { Process } from './processes.ts'
import { toYaml } from './yaml.ts'

/** `web: node_modules/.bin/manage serve`, a process a line: as Heroku and BlueKing read it. */
export function writeProcfile({ long, release }: Plan): DeployFile[] {
  const all = [...long, ...(release ? [release] : [])]
  const lines = all.map((process) => `${process.name}: ${shellCommand(process)}\n`)
  return [{ path: 'Procfile', text: lines.join('') }]
}

/** A command for a shell in the folder of the service. */
function shellCommand({ words }: Process): string {
  const [program = '', ...args] = words
  const path = program === 'manage' ? 'node_modules/.bin/manage' : program
  return [path, ...args].map(quote).join(' ')
}

function quote(word: string): string {
  return /^[\w./:=@,+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}

// What BlueKing takes as the name of a process.
const NAME = /^[a-z0-9]([-a-z0-9])*$/
const LONGEST_NAME = 12

/**
 * BlueKing's description of an application. A Procfile beside it has to have the same processes with the same commands, without
 * `release`: here that is the hook before a release.
 *
 * @throws {PlinthError} DEPLOY_REFUSED where BlueKing would refuse it
 */
export async function writeAppDesc(plan: Plan): Promise<DeployFile[]> {
  for (const { name } of plan.long)
    if (name.length > LONGEST_NAME || !NAME.test(name))
      throw errors.DEPLOY_REFUSED(
        'app_desc.yaml',
        `the process ${name} has a name of ${name.length} characters, and BlueKing takes at most ${LONGEST_NAME}; call it otherwise in processes of the service`,
      )
  const description = plan.spec === 2 ? describeV2(plan) : describeV3(plan)
  return [{ path: 'app_desc.yaml', text: await toYaml([description]) }]
}

function describeV3(plan: Plan): object {
  const { long, release } = plan
  return {
    specVersion: 3,
    modules: [
      {
        name: 'default',
        isDefault: true,
        language: 'NodeJS',
        spec: {
          processes: long.map((process) => ({
            name: process.name,
            procCommand: shellCommand(process),
            replicas: process.replicas,
            resQuotaPlan: quotaOf(process),
            ...(process.maxReplicas > process.replicas && {
              autoscaling: {
                minReplicas: process.replicas,
                maxReplicas: process.maxReplicas,
                policy: 'default',
              },
            }),
            ...(process.name === 'web' && {
              services: [
                // BlueKing adds none by itself from this version on.
                { name: 'web', targetPort: PORT, port: 80, exposedType: { name: 'bk/http' } },
                ...(plan.metrics?.port ? [{ name: 'metrics', targetPort: plan.metrics.port }] : []),
              ],
              probes: probesV3(plan),
            }),
          })),
          ...(release && { hooks: { preRelease: { procCommand: shellCommand(release) } } }),
          ...observedV3(plan),
        },
      },
    ],
  }
}

/** Of which process and service BlueKing reads the metrics. */
function observedV3({ metrics }: Plan): object {
  if (!metrics) return {}
  const { path, port } = metrics
  const web = { process: 'web', serviceName: port ? 'metrics' : 'web', path }
  return { observability: { monitoring: { metrics: [web] } } }
}

function describeV2(plan: Plan): object {
  const { long, release } = plan
  const processes = long.map((process) => [
    process.name,
    {
      command: shellCommand(process),
      replicas: process.replicas,
      plan: quotaOf(process),
      ...(process.name === 'web' && { probes: probesV2(plan) }),
    },
  ])
  return {
    spec_version: 2,
    module: {
      language: 'NodeJS',
      ...(release && { scripts: { pre_release_hook: shellCommand(release) } }),
      processes: Object.fromEntries(processes),
    },
  }
}

/** BlueKing puts the port there that it gives the process. */
const PORT = `\${PORT}`

/** Paths by the names of the probes that ask them, and how many seconds lie between. */
function probesOf({ alive, ready }: Plan): [name: string, path: string, period: number][] {
  return [
    ...(alive ? [['liveness', alive, 10] as [string, string, number]] : []),
    ...(ready ? [['readiness', ready, 5] as [string, string, number]] : []),
  ]
}

function probesV3(plan: Plan): object {
  const probes = probesOf(plan).map(([name, path, periodSeconds]) => [
    name,
    { httpGet: { path, port: PORT }, periodSeconds, timeoutSeconds: 3, failureThreshold: 3 },
  ])
  return Object.fromEntries(probes)
}

function probesV2(plan: Plan): object {
  const probes = probesOf(plan).map(([name, path, period]) => [
    name,
    {
      http_get: { path, port: PORT },
      period_seconds: period,
      timeout_seconds: 3,
      failure_threshold: 3,
    },
  ])
  return Object.fromEntries(probes)
}

/** The smallest of BlueKing's plans whose memory is enough; each has four CPUs. */
function quotaOf({ name, memory, cpu }: Process): string {
  const plans = { default: 1024, '4C2G': 2048, '4C4G': 4096 }
  const fit = Object.entries(plans).find(([, limit]) => memory <= limit)
  if (fit && cpu <= 4) return fit[0]
  throw errors.DEPLOY_REFUSED(
    'app_desc.yaml',
    `the process ${name} has ${cpu} CPUs and ${memory} MB, and BlueKing gives at most 4 and 4096 (4C4G); lower cpu or memory of it`,
  )
}
