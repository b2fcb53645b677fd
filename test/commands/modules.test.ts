import { randomUUID } from 'node:crypto'
import t from 'tap'
import { redisUrl } from '../helpers/drivers.ts'
import { logLines, manage, startManage } from '../helpers/manage.ts'
import { BARE, writeService } from '../helpers/service.ts'

const SERVICE = `
import { defineModule, defineResource, defineService, Type } from 'plinth'
const count = (summary, more) =>
  defineResource({ summary, schedule: '0 3 1 1 *', response: Type.String(), perform: () => summary, ...more })
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
  const env = { ...BARE, REDIS_URL: redisUrl(), PLINTH_MODULES: 'cities.towns', DOCS: 'false' }
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
  t.strictSame(
    routes.filter(({ resource }: { resource: string | null }) => resource !== null),
    [
      { method: 'GET', path: '/cities/towns', resource: 'cities.towns.count' },
      { method: 'HEAD', path: '/cities/towns', resource: 'cities.towns.count' },
    ],
  )
  const schedules = JSON.parse(await run('schedule', 'list', '--json'))
  t.strictSame(
    schedules.map(({ name }: { name: string }) => name),
    ['cities.towns.count'],
  )
  t.equal(await run('call', 'countries.count'), '"Countries"\n')
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

t.test('a module that is none is told, with those there are', async (t) => {
  const service = writeService(t, { 'src/service.ts': SERVICE })
  const told =
    /PLINTH_MODULES: got "town" from the environment, expected __all__, or modules with commas between them: cities, cities\.towns, countries/
  const env = { ...BARE, PLINTH_MODULES: 'town' }
  for (const command of ['resources', 'routes', 'config', 'serve', 'worker'])
    t.match(await manage(t, [command], { service, env }), { code: 1, stderr: told }, command)
})
