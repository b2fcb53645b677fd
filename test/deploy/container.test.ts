import { DockerfileParser } from 'dockerfile-ast'
import { validate } from 'dockerfile-utils'
import t from 'tap'
import { parse } from 'yaml'
import { shop, TABLE, write, writeOne } from './fixture.ts'
import { composeProblems } from './schemas.ts'

/** The instructions of each stage, by their names. */
function stagesOf(text: string): Map<string, string[]>[] {
  const stages: Map<string, string[]>[] = []
  for (const instruction of DockerfileParser.parse(text).getInstructions()) {
    const name = instruction.getKeyword()
    if (name === 'FROM') stages.push(new Map())
    const stage = stages.at(-1)
    const rest = instruction.getTextContent().slice(name.length).trim()
    stage?.set(name, [...(stage.get(name) ?? []), rest])
  }
  return stages
}

t.test('Dockerfile: a parser of them finds nothing wrong', async (t) => {
  const text = await writeOne(t, 'docker')
  t.strictSame(validate(text), [])
  t.not(validate(text.replace('USER', 'USR')).length, 0, 'what is wrong it finds')
})

t.test('Dockerfile: two stages, the second without npm, and not of root', async (t) => {
  const [build, final] = stagesOf(await writeOne(t, 'docker'))
  t.strictSame(build?.get('FROM'), [`\${NODE_IMAGE} AS build`])
  t.match(build?.get('RUN'), [/npm ci --omit=dev/])
  t.strictSame(final?.get('FROM'), [`\${NODE_IMAGE}`])
  t.match(final?.get('RUN'), [/^rm -rf .*\/usr\/local\/lib\/node_modules /])
  t.strictSame(final?.get('COPY'), ['--from=build /app ./'], 'a stage that there is')
  t.strictSame(final?.get('USER'), ['1000:1000'], 'a number, which Kubernetes can compare')
  t.match(final?.get('ENV'), [/NODE_ENV=production PORT=8000/])
  t.strictSame(final?.get('STOPSIGNAL'), ['SIGTERM'])
  t.strictSame(final?.get('CMD'), ['["manage","serve","--workers","2"]'], 'no shell is between')
  t.match(final?.get('HEALTHCHECK'), [/CMD \["node", "-e", ".*path: '\/healthz'/])
  const ignored = (await write(t, 'docker'))[1]
  t.equal(ignored?.path, '.dockerignore')
  for (const line of ['.env', '.git', '**/node_modules'])
    t.ok(ignored?.text.split('\n').includes(line), line)
})

t.test('Dockerfile: the port and the health route are those of the service', async (t) => {
  const moved = shop(
    { web: 'manage serve' },
    { routes: { healthz: '/alive' }, defaults: { prod: { PORT: 9000 } } },
  )
  const [, final] = stagesOf(await writeOne(t, 'docker', moved))
  t.strictSame(final?.get('EXPOSE'), ['9000'])
  t.match(final?.get('HEALTHCHECK'), [/path: '\/alive'/])
  const silent = shop({ web: 'manage serve' }, { routes: { healthz: false, ping: false } })
  const [, bare] = stagesOf(await writeOne(t, 'docker', silent))
  t.notOk(bare?.has('HEALTHCHECK'))
})

t.test('compose.yaml: tasks may be in the database', async (t) => {
  const service = shop(TABLE, { taskQueues: ['mail'] })
  const text = await writeOne(t, 'compose', service, { redis: false })
  const { services, volumes } = parse(text)
  t.strictSame(Object.keys(services), ['web', 'worker', 'mails', 'release', 'database'])
  t.strictSame(Object.keys(volumes), ['database'])
  t.notMatch(text, /redis/i)
})

t.test('compose.yaml: by the schema of Compose', async (t) => {
  for (const service of [shop(TABLE), shop({ web: 'manage serve' })]) {
    const document = parse(await writeOne(t, 'compose', service))
    t.strictSame(composeProblems(document), [])
  }
  t.not(composeProblems({ services: { web: { imgae: 'x' } } }).length, 0, 'what is wrong it finds')
})

t.test(
  'compose.yaml: the release runs when the database is there, the others after it',
  async (t) => {
    const service = shop(TABLE, { taskQueues: ['mail'] })
    const { services, volumes } = parse(await writeOne(t, 'compose', service))
    t.strictSame(Object.keys(services), ['web', 'worker', 'mails', 'release', 'database', 'redis'])
    t.strictSame(Object.keys(volumes), ['database', 'redis'])
    const ready = {
      database: { condition: 'service_healthy' },
      redis: { condition: 'service_healthy' },
    }
    t.strictSame(services.release.depends_on, ready)
    t.equal(services.release.restart, 'no')
    t.strictSame(services.web.depends_on, {
      ...ready,
      release: { condition: 'service_completed_successfully' },
    })
    t.match(services.web, {
      image: 'shop:1.2.0',
      command: ['manage', 'serve', '--workers', '2'],
      ports: ['8000:8000'],
      read_only: true,
      stop_grace_period: '30s',
      environment: {
        DATABASE_URL: `mysql://shop:\${DATABASE_PASSWORD}@database:3306/shop`,
        REDIS_URL: 'redis://redis:6379',
      },
    })
    t.strictSame(services.worker.healthcheck, { disable: true }, 'it serves nothing')
    t.match(services.redis.command, ['redis-server', '--maxmemory-policy', 'noeviction'])
    t.match(
      services.database.environment.MARIADB_PASSWORD,
      /^\$\{DATABASE_PASSWORD:\?/,
      'none is in the file',
    )
  },
)

t.test('compose.yaml: without a database and tasks there are none', async (t) => {
  const { services, volumes } = parse(await writeOne(t, 'compose', shop({ web: 'manage serve' })))
  t.strictSame(Object.keys(services), ['web'])
  t.equal(volumes, undefined)
  t.equal(services.web.environment, undefined)
  t.strictSame(services.web.depends_on, {})
})
