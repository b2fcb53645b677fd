import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import t from 'tap'
import { type App, createApp } from '../../src/service.ts'
import { PATIENT, PATIENT_ENV, redisUrl } from '../helpers/drivers.ts'
import { logLines, manage, startManage } from '../helpers/manage.ts'
import { BARE, writeService } from '../helpers/service.ts'

const SERVICE = `
import { defineModule, defineResource, defineService, Type } from 'plinth'
const count = (summary, more) =>
  defineResource({
    summary,
    schedule: '0 3 1 1 *',
    response: Type.String(),
    perform: (_, { app }) => summary + ' by ' + app.config.PLINTH_MODULES,
    ...more,
  })
const cities = defineModule({
  prefix: '/cities',
  queue: 'cities',
  resources: { count: count('Cities') },
  modules: { towns: defineModule({ prefix: '/towns', resources: { count: count('Towns') } }) },
})
const countries = defineModule({ prefix: '/countries', resources: { count: count('Countries') } })
export default defineService({ name: 'places-${randomUUID()}', modules: { cities, countries } })
`

t.test('one codebase, several services: the commands follow PLINTH_MODULES', async (t) => {
  const service = writeService(t, { 'src/service.ts': SERVICE })
  const own = { PLINTH_MODULES: 'cities.towns', DOCS: 'false' }
  const env = { ...BARE, REDIS_URL: redisUrl(), ...PATIENT_ENV, ...own }
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await manage(t, args, { service, env })
    t.same({ code, stderr }, { code: 0, stderr: '' }, args.join(' '))
    return stdout
  }
  t.equal(
    await run('resources'),
    [
      'cities.count        -    -              Cities',
      'cities.towns.count  GET  /cities/towns  Towns',
      'countries.count     -    -              Countries',
      '',
    ].join('\n'),
  )
  const routes = JSON.parse(await run('routes', '--json'))
  const open = { auth: null, permissions: [], scope: false }
  t.strictSame(
    routes.filter(({ resource }: { resource: string | null }) => resource !== null),
    [
      { method: 'GET', path: '/cities/towns', resource: 'cities.towns.count', ...open },
      { method: 'HEAD', path: '/cities/towns', resource: 'cities.towns.count', ...open },
    ],
  )
  const schedules = JSON.parse(await run('schedule', 'list', '--json'))
  t.strictSame(
    schedules.map(({ name }: { name: string }) => name),
    ['cities.towns.count'],
  )
  t.equal(await run('call', 'countries.count'), '"Countries by cities.towns"\n')
  const findings = JSON.parse(await run('check', '--json'))
  t.match(
    findings.filter(({ check }: { check: string }) => check === 'app' || check === 'tasks'),
    [
      { message: '1 of 3 resources run here, as PLINTH_MODULES says' },
      { message: 'queues: cities' },
    ],
  )
  const worker = startManage(t, ['worker'], { service, env: { ...env, LOG_LEVEL: 'info' } })
  await worker.until('stdout', /working on tasks/)
  worker.process.kill('SIGTERM')
  const { code, stdout } = await worker.ended
  t.equal(code, 0)
  t.match(
    logLines(stdout).find(({ msg }) => msg === 'working on tasks'),
    { queues: ['cities'] },
  )
})

t.test('two workers on one Redis: each does what is in the queues of its modules', async (t) => {
  const service = writeService(t, { 'src/service.ts': SERVICE })
  const env = {
    ...BARE,
    NODE_ENV: 'test',
    LOG_LEVEL: 'info',
    REDIS_URL: redisUrl(),
    REDIS_TIMEOUT: `${PATIENT.commandTimeout}`,
  }
  const { default: definition } = await import(join(service, 'src/service.ts'))
  const app = (await createApp(definition, { root: service, env, logger: false })) as App
  t.teardown(() => app.close())
  await app.ready()
  const enqueue = async (module: string, queue?: string) => {
    const how = queue === undefined ? {} : { queue }
    const task = await app.resources[module]?.count?.enqueue({}, how)
    return task?.task_id ?? ''
  }
  const work = async (PLINTH_MODULES: string) => {
    const worker = startManage(t, ['worker'], { service, env: { ...env, PLINTH_MODULES } })
    await worker.until('stdout', /working on tasks/)
    return worker
  }
  const [city, country] = [await enqueue('cities'), await enqueue('countries')]
  const countries = await work('countries')
  t.equal(await app.tasks.result(country), 'Countries by countries')
  const shared = await enqueue('cities', 'default')
  t.equal(
    await app.tasks.result(shared),
    'Cities by countries',
    'what is shared is not handed back',
  )
  t.match(await app.tasks.find(city), { state: 'waiting', attempts_made: 0 })
  const cities = await work('cities')
  t.equal(await app.tasks.result(city), 'Cities by cities')
  for (const worker of [countries, cities]) {
    worker.process.kill('SIGTERM')
    const { code, stdout } = await worker.ended
    t.equal(code, 0)
    t.notMatch(stdout, /handed back/)
  }
})

t.test('a module that is none is told, with those there are', async (t) => {
  const service = writeService(t, { 'src/service.ts': SERVICE })
  const told =
    /PLINTH_MODULES: got "town" from the environment, expected __all__, or modules with commas between them: cities, cities\.towns, countries/
  const env = { ...BARE, PLINTH_MODULES: 'town' }
  for (const command of ['resources', 'routes', 'config', 'serve', 'worker'])
    t.match(await manage(t, [command], { service, env }), { code: 1, stderr: told }, command)
})
