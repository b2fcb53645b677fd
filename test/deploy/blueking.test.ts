import t from 'tap'
import { parse } from 'yaml'
import { shop, TABLE, writeOne } from './fixture.ts'

/** As Heroku and BlueKing read it. */
function parseProcfile(text: string): Record<string, string> {
  const lines = text.trimEnd().split('\n')
  return Object.fromEntries(
    lines.map((line) => {
      const [, name, command] = /^([A-Za-z0-9_-]+):\s*(.+)$/.exec(line) ?? []
      t.ok(name && command, line)
      return [name, command]
    }),
  )
}

const COMMANDS = {
  web: 'node_modules/.bin/manage serve --workers 2',
  worker: 'node_modules/.bin/manage worker',
  mails: "node_modules/.bin/manage worker --queues 'a b'",
}

t.test('Procfile', async (t) => {
  t.strictSame(parseProcfile(await writeOne(t, 'procfile')), {
    ...COMMANDS,
    release: 'node_modules/.bin/manage migrate',
  })
})

/** The rules of BlueKing's validator for version 3: what it does not know it drops, and what is wrong it refuses. */
function assertV3(description: Record<string, unknown>): void {
  t.strictSame(Object.keys(description), ['specVersion', 'modules'])
  t.equal(description.specVersion, 3)
  const modules = description.modules as Record<string, unknown>[]
  t.equal(modules.filter(({ isDefault }) => isDefault === true).length, 1)
  for (const { spec, ...module } of modules) {
    t.strictSame(module, { name: 'default', isDefault: true, language: 'NodeJS' })
    const {
      processes,
      hooks = {},
      observability,
      ...others
    } = spec as Record<string, Record<string, unknown>>
    t.strictSame(others, {})
    assertObserved(observability, processes as never)
    t.ok(Object.keys(hooks).every((name) => name === 'preRelease'))
    const exposed = new Set<string>()
    for (const process of processes as unknown as Record<string, unknown>[])
      assertProcess(process, exposed)
    t.strictSame([...exposed], ['bk/http'])
  }
}

/** What is read is of a process and a service that there are. */
function assertObserved(
  observability: unknown,
  processes: readonly { name: string; services?: { name: string }[] }[],
): void {
  if (observability === undefined) return
  const { metrics } = (observability as { monitoring: { metrics: Record<string, string>[] } })
    .monitoring
  for (const { process, serviceName, path, ...others } of metrics) {
    t.strictSame(others, {})
    t.match(path, /^\//)
    const { services = [] } = processes.find(({ name }) => name === process) ?? {}
    t.ok(services.some(({ name }) => name === serviceName))
  }
}

const KEYS = [
  'name',
  'procCommand',
  'replicas',
  'resQuotaPlan',
  'autoscaling',
  'services',
  'probes',
]
const PLANS = ['default', '4C1G', '4C2G', '4C4G']

function assertProcess(process: Record<string, unknown>, exposed: Set<string>): void {
  t.strictSame(
    Object.keys(process).filter((key) => !KEYS.includes(key)),
    [],
  )
  t.match(process.name, /^[a-z0-9]([-a-z0-9])*$/)
  t.ok(String(process.name).length <= 12)
  t.type(process.procCommand, 'string')
  t.ok(Number.isInteger(process.replicas))
  t.ok(PLANS.includes(String(process.resQuotaPlan)))
  const services = (process.services ?? []) as Record<string, unknown>[]
  for (const { name, targetPort, port, exposedType, ...others } of services) {
    t.strictSame(others, {})
    t.match(name, /^[a-z0-9]([-a-z0-9])*$/)
    t.ok(targetPort === `\${PORT}` || Number.isInteger(targetPort))
    t.ok(port === undefined || Number.isInteger(port))
    if (exposedType === undefined) continue
    const { name: type } = exposedType as { name: string }
    t.ok(['bk/http', 'bk/grpc'].includes(type) && !exposed.has(type), 'exposed once')
    exposed.add(type)
  }
  for (const [name, probe] of Object.entries((process.probes ?? {}) as object)) {
    t.ok(['liveness', 'readiness', 'startup'].includes(name))
    const { httpGet, ...times } = probe
    t.match(httpGet, { path: /^\/.{0,127}$/, port: `\${PORT}` })
    t.ok(Object.values(times).every(Number.isInteger))
  }
}

t.test('app_desc.yaml of version 3, by the rules of BlueKing', async (t) => {
  const description = parse(await writeOne(t, 'blueking'))
  assertV3(description)
  const [{ spec }] = description.modules
  t.strictSame(
    Object.fromEntries(
      spec.processes.map((one: { name: string; procCommand: string }) => [
        one.name,
        one.procCommand,
      ]),
    ),
    COMMANDS,
    'as in a Procfile, without release',
  )
  t.strictSame(spec.hooks, { preRelease: { procCommand: 'node_modules/.bin/manage migrate' } })
  const [web, worker] = spec.processes
  t.match(web, {
    replicas: 3,
    resQuotaPlan: 'default',
    autoscaling: { minReplicas: 3, maxReplicas: 12 },
    probes: {
      liveness: { httpGet: { path: '/healthz' } },
      readiness: { httpGet: { path: '/readyz' } },
    },
  })
  t.strictSame(Object.keys(worker), ['name', 'procCommand', 'replicas', 'resQuotaPlan'])
})

t.test('app_desc.yaml of version 2', async (t) => {
  const description = parse(await writeOne(t, 'blueking', shop(TABLE), { spec: 2 }))
  t.strictSame(Object.keys(description), ['spec_version', 'module'])
  const { language, scripts, processes } = description.module
  t.strictSame(
    { language, scripts },
    {
      language: 'NodeJS',
      scripts: { pre_release_hook: 'node_modules/.bin/manage migrate' },
    },
  )
  t.strictSame(Object.keys(processes), ['web', 'worker', 'mails'])
  t.strictSame(processes.worker, { command: COMMANDS.worker, replicas: 1, plan: 'default' })
  t.strictSame(processes.web.probes.readiness, {
    http_get: { path: '/readyz', port: `\${PORT}` },
    period_seconds: 5,
    timeout_seconds: 3,
    failure_threshold: 3,
  })
})

t.test('the plan is the smallest that is enough', async (t) => {
  const planOf = async (memory: number) => {
    const service = shop({ web: { command: 'manage serve', memory } })
    return parse(await writeOne(t, 'blueking', service)).modules[0].spec.processes[0].resQuotaPlan
  }
  t.equal(await planOf(1024), 'default')
  t.equal(await planOf(1025), '4C2G')
  t.equal(await planOf(4096), '4C4G')
  await t.rejects(planOf(4097), {
    code: 'DEPLOY_REFUSED',
    message: /web has 1 CPUs and 4097 MB, and BlueKing gives at most 4 and 4096/,
  })
})

t.test('a name that is too long for BlueKing is refused', async (t) => {
  const service = shop({ web: 'manage serve', 'celery-worker': 'manage worker' })
  for (const spec of [2, 3] as const)
    await t.rejects(writeOne(t, 'blueking', service, { spec }), {
      code: 'DEPLOY_REFUSED',
      message:
        /^app_desc\.yaml cannot be written: the process celery-worker has a name of 13 characters, and BlueKing takes at most 12/,
    })
  const fits = shop({ web: 'manage serve', 'twelve-chars': 'manage worker' })
  assertV3(parse(await writeOne(t, 'blueking', fits)))
})

t.test('metrics are read where production tells them', async (t) => {
  const of = async (prod: Record<string, boolean | number>) => {
    const description = parse(await writeOne(t, 'blueking', shop(TABLE, { defaults: { prod } })))
    assertV3(description)
    return description.modules[0].spec
  }
  t.notOk((await of({})).observability)
  t.strictSame((await of({ METRICS: true })).observability, {
    monitoring: { metrics: [{ process: 'web', serviceName: 'web', path: '/metrics' }] },
  })
  const apart = await of({ METRICS: true, METRICS_PORT: 9100 })
  t.strictSame(apart.processes[0].services[1], { name: 'metrics', targetPort: 9100 })
  t.match(apart.observability, { monitoring: { metrics: [{ serviceName: 'metrics' }] } })
})

t.test('where a service has no health routes it is not asked', async (t) => {
  const routes = { healthz: false, ping: false, readyz: false } as const
  const service = shop({ web: 'manage serve' }, { routes })
  const [web] = parse(await writeOne(t, 'blueking', service)).modules[0].spec.processes
  t.strictSame(web.probes, {})
})
