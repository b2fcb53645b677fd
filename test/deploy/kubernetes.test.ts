import t from 'tap'
import { parseAllDocuments } from 'yaml'
import { shop, TABLE, write } from './fixture.ts'
import { manifestProblems } from './schemas.ts'

type Manifest = { kind: string; metadata: { name: string } } & Record<string, never>

/** All of them, by kind and name. */
async function manifests(
  t: Parameters<typeof write>[0],
  ...more: [service?: ReturnType<typeof shop>, options?: object]
) {
  const files = await write(t, 'kubernetes', ...more)
  const all = files.flatMap(({ text }) =>
    [...parseAllDocuments(text)].map((document) => document.toJS() as Manifest),
  )
  return { files, all, of: (kind: string, name: string) => find(all, kind, name) }
}

function find(all: readonly Manifest[], kind: string, name: string) {
  return all.find((one) => one.kind === kind && one.metadata.name === name)
}

t.test('each file is what Kubernetes takes, field by field', async (t) => {
  const { files, all } = await manifests(t)
  t.strictSame(
    files.map(({ path }) => path),
    ['web', 'worker', 'mails', 'release'].map((name) => `deploy/kubernetes/${name}.yaml`),
  )
  t.strictSame(
    all.map(({ kind, metadata: { name } }) => `${kind} ${name}`),
    [
      'Deployment shop-web',
      'Service shop-web',
      'PodDisruptionBudget shop-web',
      'HorizontalPodAutoscaler shop-web',
      'Deployment shop-worker',
      'PodDisruptionBudget shop-worker',
      'Deployment shop-mails',
      'PodDisruptionBudget shop-mails',
      'Job shop-release',
    ],
  )
  for (const one of all) t.strictSame(manifestProblems(one), [], `${one.kind} ${one.metadata.name}`)
})

t.test('what Kubernetes would drop without a word is found', async (t) => {
  const { of } = await manifests(t)
  const deployment = structuredClone(of('Deployment', 'shop-web')) as never as {
    spec: {
      template: { spec: { terminationGraceSeconds?: number; containers: { ports: object[] }[] } }
    }
  }
  deployment.spec.template.spec.terminationGraceSeconds = 3
  t.match(manifestProblems(deployment), [/terminationGraceSeconds/])
  const other = structuredClone(of('Service', 'shop-web')) as never as { spec: { ports: object[] } }
  other.spec.ports = [{ port: 'http' }]
  t.not(manifestProblems(other).length, 0)
})

t.test('a pod that serves', async (t) => {
  const { of } = await manifests(t, shop(TABLE), { image: 'registry.test/shop:7' })
  t.match(of('Deployment', 'shop-web'), {
    spec: {
      replicas: undefined,
      strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      template: {
        spec: {
          // Two seconds before SIGTERM, 15 of delays, five to spare.
          terminationGracePeriodSeconds: 32,
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          securityContext: { runAsNonRoot: true, runAsUser: 1000 },
          containers: [
            {
              name: 'web',
              image: 'registry.test/shop:7',
              command: ['manage', 'serve', '--workers', '2'],
              envFrom: [{ secretRef: { name: 'shop' } }],
              env: [{ name: 'PORT', value: '8000' }],
              ports: [{ containerPort: 8000 }],
              startupProbe: { httpGet: { path: '/healthz', port: 'http' } },
              livenessProbe: { httpGet: { path: '/healthz', port: 'http' } },
              readinessProbe: { httpGet: { path: '/readyz', port: 'http' } },
              lifecycle: { preStop: { exec: { command: ['sleep', '2'] } } },
              resources: {
                requests: { cpu: '1000m', memory: '768Mi' },
                limits: { memory: '768Mi' },
              },
              securityContext: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false },
            },
          ],
        },
      },
    },
  })
  t.match(of('HorizontalPodAutoscaler', 'shop-web'), {
    spec: {
      scaleTargetRef: { kind: 'Deployment', name: 'shop-web' },
      minReplicas: 3,
      maxReplicas: 12,
      metrics: [{ resource: { name: 'cpu', target: { averageUtilization: 70 } } }],
    },
  })
})

t.test('one that counts CPUs has as many as are its own', async (t) => {
  const web = { command: 'manage serve --workers auto', cpu: 2 }
  const { of } = await manifests(t, shop({ web }))
  t.match(of('Deployment', 'shop-web'), {
    spec: {
      template: {
        spec: { containers: [{ resources: { limits: { cpu: '2000m', memory: '512Mi' } } }] },
      },
    },
  })
})

t.test('metrics are read where production tells them', async (t) => {
  const defaults = { prod: { METRICS: true, METRICS_PORT: 9100 } }
  const { of } = await manifests(t, shop(TABLE, { defaults }))
  const pod = (name: string) => {
    const { spec } = of('Deployment', name) as never as { spec: { template: { metadata: object } } }
    return spec.template.metadata
  }
  t.match(pod('shop-web'), {
    annotations: {
      'prometheus.io/scrape': 'true',
      'prometheus.io/path': '/metrics',
      'prometheus.io/port': '9100',
    },
  })
  t.notOk('annotations' in pod('shop-worker'))
  t.strictSame(manifestProblems(of('Deployment', 'shop-web') as object), [])
})

t.test('what selects pods selects those of its own process', async (t) => {
  const { all } = await manifests(t)
  for (const { kind, metadata, spec } of all as never as {
    kind: string
    metadata: { labels: object }
    spec: Record<string, Record<string, object>>
  }[]) {
    const { selector } = spec
    if (kind === 'Service') t.strictSame(selector, metadata.labels)
    else if (selector) t.strictSame(selector.matchLabels, metadata.labels)
  }
})

t.test('a worker has no port and no probe; a job is not begun again for ever', async (t) => {
  const { of } = await manifests(t)
  const worker = of('Deployment', 'shop-mails') as never as {
    spec: { replicas: number; template: { spec: { containers: Record<string, unknown>[] } } }
  }
  t.equal(worker.spec.replicas, 1)
  const [container = {}] = worker.spec.template.spec.containers
  for (const key of ['ports', 'livenessProbe', 'readinessProbe', 'lifecycle'])
    t.notOk(key in container)
  t.match(container.resources, { requests: { cpu: '500m' } })
  t.match(of('Job', 'shop-release'), {
    spec: { backoffLimit: 2, template: { spec: { restartPolicy: 'Never' } } },
  })
})

t.test('names that Kubernetes takes', async (t) => {
  const wrong = ['Shop', '1shop', 'shop-', 'a'.repeat(43)]
  for (const name of wrong)
    await t.rejects(write(t, 'kubernetes', shop({ web: 'manage serve' }, { name })), {
      code: 'DEPLOY_REFUSED',
      message: /expected up to 42 lower case letters/,
    })
  const longest = { web: 'manage serve', [`b${'c'.repeat(19)}`]: 'manage worker' }
  const { all } = await manifests(t, shop(longest, { name: 'a'.repeat(42) }))
  t.equal(Math.max(...all.map(({ metadata }) => metadata.name.length)), 63)
})
