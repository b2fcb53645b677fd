import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parseAllDocuments } from 'yaml'
import { manage } from '../helpers/manage.ts'
import { SERVICE, writeService } from '../helpers/service.ts'

const PROCFILE = 'web: node_modules/.bin/manage serve\n'
const withTable = (table: string) =>
  SERVICE.replace('modules: { things }', `modules: { things }, processes: ${table}`)

t.test('files are written once; the same ones are no change', async (t) => {
  const service = writeService(t)
  const run = () => manage(t, ['deploy', 'docker'], { service })
  t.strictSame(await run(), {
    code: 0,
    signal: null,
    stdout: 'wrote Dockerfile\nwrote .dockerignore\n',
    stderr: '',
  })
  t.match(readFileSync(join(service, 'Dockerfile'), 'utf8'), /^CMD \["manage","serve"\]$/m)
  t.match(await run(), { code: 0, stdout: 'no changes\n', stderr: '' })
})

t.test('a file that says something else is kept, unless it is forced', async (t) => {
  const service = writeService(t)
  const file = join(service, 'Procfile')
  const run = (...flags: string[]) => manage(t, ['deploy', 'procfile', ...flags], { service })
  t.match(await run(), { code: 0, stdout: 'wrote Procfile\n' })
  const mine = `${PROCFILE}clock: node clock.js\n`
  writeFileSync(file, mine)
  t.strictSame(await run(), {
    code: 1,
    signal: null,
    stdout: '',
    stderr:
      'error FILE_EXISTS: Nothing has been written, because this is there already: Procfile (line 2); it says something else from that line on: compare it with manage deploy procfile --dry-run, and add --force to replace it\n',
  })
  t.equal(readFileSync(file, 'utf8'), mine)
  t.match(await run('--force'), { code: 0, stdout: 'wrote Procfile\n' })
  t.equal(readFileSync(file, 'utf8'), PROCFILE)
  writeFileSync(file, PROCFILE.replaceAll('\n', '\r\n'))
  t.match(await run(), { code: 0, stdout: 'no changes\n' }, 'ends of lines do not count')
})

t.test('of several files none is written where one is in the way', async (t) => {
  const service = writeService(t, { '.dockerignore': 'mine\n' })
  t.match(await manage(t, ['deploy', 'docker', '--json'], { service }), {
    code: 1,
    stdout: /"code": "FILE_EXISTS"/,
    stderr: '',
  })
  t.notOk(existsSync(join(service, 'Dockerfile')))
})

t.test('--dry-run prints, and writes nothing', async (t) => {
  const table = "{ web: 'manage serve', worker: 'manage worker', release: 'manage migrate' }"
  const service = writeService(t, { 'src/service.ts': withTable(table) })
  const run = (...args: string[]) => manage(t, ['deploy', ...args, '--dry-run'], { service })
  t.strictSame(await run('procfile'), {
    code: 0,
    signal: null,
    stdout: `${PROCFILE}worker: node_modules/.bin/manage worker\nrelease: node_modules/.bin/manage migrate\n`,
    stderr: '',
  })
  const { stdout } = await run('kubernetes', '--image', 'registry.test/shop:7')
  const kinds = [...parseAllDocuments(stdout)].map((one) => one.get('kind'))
  t.strictSame(kinds.filter(Boolean), [
    'Deployment',
    'Service',
    'PodDisruptionBudget',
    'HorizontalPodAutoscaler',
    'Deployment',
    'PodDisruptionBudget',
    'Job',
  ])
  t.match(stdout, /^---\n# deploy\/kubernetes\/web\.yaml\n/, 'kubectl takes it as it is')
  t.match(stdout, 'image: registry.test/shop:7')
  t.match((await run('systemd', '--directory', '/opt/shop')).stdout, /ExecStart=\/opt\/shop\/node/)
  t.match((await run('blueking', '--spec', '2')).stdout, /^spec_version: 2$/m)
  t.match((await run('blueking')).stdout, /^specVersion: 3$/m)
  for (const path of ['Procfile', 'deploy', 'app_desc.yaml'])
    t.notOk(existsSync(join(service, path)))
})

t.test('--json tells what has become of each file', async (t) => {
  const service = writeService(t)
  const run = async (...flags: string[]) => {
    const { code, stdout, stderr } = await manage(t, ['deploy', 'procfile', '--json', ...flags], {
      service,
    })
    t.same({ code, stderr }, { code: 0, stderr: '' })
    return JSON.parse(stdout)
  }
  t.strictSame(await run('--dry-run'), {
    files: [{ path: 'Procfile', text: PROCFILE, state: 'new' }],
  })
  t.strictSame(await run(), { files: [{ path: 'Procfile', state: 'new' }] })
  t.strictSame(await run(), { files: [{ path: 'Procfile', state: 'same' }] })
  writeFileSync(join(service, 'Procfile'), 'mine')
  t.strictSame(await run('--force'), { files: [{ path: 'Procfile', state: 'changed' }] })
})

t.test('what cannot be deployed is an error with a code, and nothing is written', async (t) => {
  const wrong: [string, string, RegExp][] = [
    [
      "{ worker: 'manage worker' } as never",
      'docker',
      /^error PROCESSES_INVALID: .*there is no web/,
    ],
    [
      "{ web: 'manage serve', 'celery-worker': 'manage worker' }",
      'blueking',
      /^error DEPLOY_REFUSED: app_desc\.yaml cannot be written: .* 13 characters/,
    ],
  ]
  for (const [table, target, message] of wrong) {
    const service = writeService(t, { 'src/service.ts': withTable(table) })
    const { code, stdout, stderr } = await manage(t, ['deploy', target], { service })
    t.same({ code, stdout }, { code: 1, stdout: '' })
    t.match(stderr, message)
    t.notOk(existsSync(join(service, 'Dockerfile')) || existsSync(join(service, 'app_desc.yaml')))
  }
})

t.test('nothing of whoever writes them gets into the files', async (t) => {
  const service = writeService(t, { '.env': 'PORT=7777\nDATABASE_URL=mysql://a:hunter2@b/c\n' })
  const env = { PORT: '6666', REDIS_URL: 'redis://:hunter3@10.0.0.1', DRAIN_DELAY: '99000' }
  for (const target of ['procfile', 'blueking', 'docker', 'compose', 'kubernetes', 'systemd']) {
    const { code, stdout } = await manage(t, ['deploy', target, '--dry-run'], { service, env })
    t.equal(code, 0)
    t.notMatch(stdout, /7777|6666|hunter|10\.0\.0\.1|99|104/, target)
  }
})

t.test('wrong usage', async (t) => {
  const service = writeService(t)
  for (const args of [['deploy'], ['deploy', 'nowhere'], ['deploy', 'blueking', '--spec', '4']])
    t.match(await manage(t, args, { service }), { code: 2, stdout: '' })
})
