import t from 'tap'
import { Type } from 'typebox'
import { type Processes, readProcesses } from '../../src/deploy/processes.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { shop, TABLE } from './fixture.ts'

const commands = ({ long, release }: Processes) =>
  Object.fromEntries([...long, ...(release ? [release] : [])].map((one) => [one.name, one.command]))

const resource = (more: object) =>
  defineResource({ summary: 'One', response: Type.Null(), perform: () => null, ...more })
const modules = (more: object, module: object = {}) => ({
  things: defineModule({ prefix: '/things', resources: { one: resource(more) }, ...module }),
})

t.test('a service that says nothing: what follows from what it is', async (t) => {
  const empty = t.testdir()
  const of = (more: object, root = empty) => commands(readProcesses(shop(undefined, more), root))
  t.strictSame(of({}), { web: 'manage serve' })
  const worker = { web: 'manage serve', worker: 'manage worker' }
  for (const more of [
    { modules: modules({ schedule: '0 3 * * *' }) },
    { modules: modules({ task: { attempts: 3 } }) },
    { modules: modules({ async: true }) },
    { modules: modules({}, { async: true }) },
    { modules: modules({}), async: true },
    { taskQueues: ['mail'] },
    { limits: { mail: { max: 1, duration: 1000 } } },
  ])
    t.strictSame(of(more), worker, JSON.stringify(more))
  const root = t.testdir({ migrations: {} })
  t.strictSame(of({}, root), { web: 'manage serve', release: 'manage migrate' })
})

t.test('a table is taken as it is: what it does not have is not run', async (t) => {
  const root = t.testdir({ migrations: {} })
  const table = { worker: 'manage worker', web: 'manage serve' }
  const { long, release } = readProcesses(shop(table, { async: true }), root)
  t.strictSame(
    long.map(({ name }) => name),
    ['web', 'worker'],
    'web comes first',
  )
  t.equal(release, undefined)
})

t.test('what is not said has a default', async (t) => {
  const { long, release } = readProcesses(shop(TABLE), t.testdir())
  t.strictSame(long, [
    {
      name: 'web',
      command: 'manage serve --workers 2',
      words: ['manage', 'serve', '--workers', '2'],
      countsCpus: false,
      replicas: 3,
      maxReplicas: 12,
      cpu: 1,
      memory: 768,
    },
    {
      name: 'worker',
      command: 'manage worker',
      words: ['manage', 'worker'],
      countsCpus: false,
      replicas: 1,
      maxReplicas: 1,
      cpu: 1,
      memory: 512,
    },
    {
      name: 'mails',
      command: "manage worker --queues 'a b'",
      words: ['manage', 'worker', '--queues', 'a b'],
      countsCpus: false,
      replicas: 1,
      maxReplicas: 1,
      cpu: 0.5,
      memory: 512,
    },
  ])
  t.match(release, { name: 'release', words: ['manage', 'migrate'] })
  t.match(readProcesses(shop({ web: 'manage serve' }), t.testdir()).long, [
    { replicas: 2, maxReplicas: 10 },
  ])
})

t.test('one that starts as many processes as there are CPUs is known', async (t) => {
  const counts = (web: string) => readProcesses(shop({ web }), t.testdirName).long[0]?.countsCpus
  for (const flag of ['--workers auto', '--workers=auto', '-w auto', '-wauto'])
    t.equal(counts(`manage serve ${flag}`), true, flag)
  for (const flag of ['', '--workers 2', '--workers 2 --host auto'])
    t.equal(counts(`manage serve ${flag}`), false, flag)
})

t.test('what cannot be run is refused, and the message says what to write', async (t) => {
  const web = 'manage serve'
  const wrong: [object, RegExp][] = [
    [{}, /there is no web among them \(none\); add one: web: 'manage serve'/],
    [{ worker: 'manage worker' }, /there is no web among them \(worker\)/],
    [{ web: '' }, /web has no command/],
    [{ web: { replicas: 2 } }, /web has no command/],
    [{ web: 'manage migrate && manage serve' }, /web has a command for a shell/],
    [{ web: 'manage serve --port $PORT' }, /write words alone/],
    [{ web, Worker: 'manage worker' }, /Worker cannot be called so/],
    [{ web, 'a-name-of-21-characte': 'x' }, /expected up to 20 lower case letters/],
    [
      { web: { command: web, replica: 2 } },
      /web has replica, which nothing reads; expected one of/,
    ],
    [{ web: { command: web, replicas: 0 } }, /web has replicas 0; expected a number above 0/],
    [{ web: { command: web, replicas: 1.5 } }, /web has replicas 1\.5/],
    [{ web: { command: web, memory: '1G' } }, /web has memory 1G/],
    [{ web: { command: web, replicas: 3, maxReplicas: 2 } }, /maxReplicas 2, and replicas 3/],
  ]
  for (const [table, message] of wrong)
    t.throws(() => readProcesses(shop(table), t.testdirName), {
      code: 'PROCESSES_INVALID',
      message,
    })
})
