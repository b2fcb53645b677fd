import type { DeployFile, Plan } from './plan.ts'
import type { Process } from './processes.ts'
import { toYaml } from './yaml.ts'

/** Seconds in which a pod still gets requests whose end was announced: it hears of it after them. */
const ANNOUNCED = 2

/** A file for each process that stays, and one for what runs before a release. */
export async function writeKubernetes(plan: Plan): Promise<DeployFile[]> {
  const files = plan.long.map((process) => [process.name, manifestsOf(plan, process)] as const)
  const all = plan.release ? [...files, ['release', [jobOf(plan, plan.release)]] as const] : files
  return await Promise.all(
    all.map(async ([name, manifests]) => ({
      path: `deploy/kubernetes/${name}.yaml`,
      text: await toYaml(manifests),
    })),
  )
}

function manifestsOf(plan: Plan, process: Process): object[] {
  const isWeb = process.name === 'web'
  return [
    deploymentOf(plan, process),
    ...(isWeb ? [serviceOf(plan)] : []),
    disruptionBudgetOf(plan, process),
    ...(process.maxReplicas > process.replicas ? [autoscalerOf(plan, process)] : []),
  ]
}

function metadataOf({ name }: Plan, process: string) {
  return { name: `${name}-${process}`, labels: labelsOf(name, process) }
}

function labelsOf(name: string, process: string) {
  return { 'app.kubernetes.io/name': name, 'app.kubernetes.io/component': process }
}

function deploymentOf(plan: Plan, process: Process): object {
  const matchLabels = labelsOf(plan.name, process.name)
  const isScaled = process.maxReplicas > process.replicas
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: metadataOf(plan, process.name),
    spec: {
      // Where it is scaled by load a number here would undo that with each release.
      ...(!isScaled && { replicas: process.replicas }),
      selector: { matchLabels },
      // Never fewer than before: a new one is ready before an old one ends.
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      template: {
        metadata: { labels: matchLabels, ...(process.name === 'web' && scrapedOf(plan)) },
        spec: {
          ...podOf(plan, process),
          terminationGracePeriodSeconds: plan.stop + ANNOUNCED,
          topologySpreadConstraints: [
            {
              maxSkew: 1,
              topologyKey: 'kubernetes.io/hostname',
              whenUnsatisfiable: 'ScheduleAnyway',
              labelSelector: { matchLabels },
            },
          ],
        },
      },
    },
  }
}

/** As Prometheus finds what it is to read, by a convention of its charts. */
function scrapedOf({ metrics, port }: Plan): object {
  if (!metrics) return {}
  const where = { scrape: 'true', path: metrics.path, port: String(metrics.port ?? port) }
  const annotations = Object.entries(where).map(([key, value]) => [`prometheus.io/${key}`, value])
  return { annotations: Object.fromEntries(annotations) }
}

/** What pods of all processes have. */
function podOf(plan: Plan, process: Process) {
  const { image, name } = plan
  return {
    automountServiceAccountToken: false,
    // Variables of services in the namespace (REDIS_PORT=tcp://…) would be taken for settings.
    enableServiceLinks: false,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 1000,
      runAsGroup: 1000,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    containers: [
      {
        name: process.name,
        image,
        command: [...process.words],
        // DATABASE_URL, REDIS_URL and what else the service reads.
        envFrom: [{ secretRef: { name } }],
        ...(process.name === 'web' && webOf(plan)),
        resources: {
          requests: { cpu: `${process.cpu * 1000}m`, memory: `${process.memory}Mi` },
          // Of memory alone, mostly: with a limit of its CPU a process stands still while CPUs idle.
          limits: {
            ...(process.countsCpus && { cpu: `${process.cpu * 1000}m` }),
            memory: `${process.memory}Mi`,
          },
        },
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
        volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
      },
    ],
    volumes: [{ name: 'tmp', emptyDir: {} }],
  }
}

/** The port, the probes, and the wait before SIGTERM: whoever sends requests is told of the end at the same moment. */
function webOf({ port, alive, ready }: Plan): object {
  const ask = (path: string) => ({ httpGet: { path, port: 'http' }, timeoutSeconds: 3 })
  return {
    ports: [{ name: 'http', containerPort: port }],
    env: [{ name: 'PORT', value: String(port) }],
    ...(alive && {
      startupProbe: { ...ask(alive), periodSeconds: 1, failureThreshold: 60 },
      livenessProbe: { ...ask(alive), periodSeconds: 10, failureThreshold: 3 },
    }),
    ...(ready && { readinessProbe: { ...ask(ready), periodSeconds: 5, failureThreshold: 2 } }),
    lifecycle: { preStop: { exec: { command: ['sleep', String(ANNOUNCED)] } } },
  }
}

function serviceOf(plan: Plan): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf(plan, 'web'),
    spec: {
      selector: labelsOf(plan.name, 'web'),
      ports: [{ name: 'http', port: 80, targetPort: 'http' }],
    },
  }
}

function disruptionBudgetOf(plan: Plan, { name }: Process): object {
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: metadataOf(plan, name),
    spec: { maxUnavailable: 1, selector: { matchLabels: labelsOf(plan.name, name) } },
  }
}

/** By CPU: one process uses one, and its memory says nothing, as what was freed is kept for later. */
function autoscalerOf(plan: Plan, { name, replicas, maxReplicas }: Process): object {
  return {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: metadataOf(plan, name),
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: `${plan.name}-${name}` },
      minReplicas: replicas,
      maxReplicas,
      metrics: [
        {
          type: 'Resource',
          resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 70 } },
        },
      ],
      behavior: { scaleDown: { stabilizationWindowSeconds: 300 } },
    },
  }
}

/** Applied before the deployments, and waited for: see docs/deploy.md. */
function jobOf(plan: Plan, release: Process): object {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: metadataOf(plan, 'release'),
    spec: {
      backoffLimit: 2,
      ttlSecondsAfterFinished: 86_400,
      template: {
        metadata: { labels: labelsOf(plan.name, 'release') },
        spec: { ...podOf(plan, release), restartPolicy: 'Never' },
      },
    },
  }
}
