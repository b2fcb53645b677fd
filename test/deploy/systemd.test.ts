import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import type { ServiceDefinition } from '../../src/define-service.ts'
import { findProgram } from '../servers/program.ts'
import { shop, TABLE, write } from './fixture.ts'

/** Sections with their settings, each a list: some are said several times. */
function parseUnit(text: string): Record<string, Record<string, string[]>> {
  const unit: Record<string, Record<string, string[]>> = {}
  let section = ''
  for (const line of text.split('\n').filter((one) => one !== '' && !one.startsWith('#'))) {
    const head = /^\[(\w+)\]$/.exec(line)?.[1]
    if (head) {
      section = head
      unit[section] = {}
      continue
    }
    const [, key = '', value = ''] = /^(\w+)=(.*)$/.exec(line) ?? []
    t.ok(key, line)
    const settings = unit[section] as Record<string, string[]>
    settings[key] = [...(settings[key] ?? []), value]
  }
  return unit
}

async function units(t: Test, service?: ServiceDefinition) {
  const files = await write(t, 'systemd', service)
  return new Map(files.map(({ path, text }) => [basename(path), parseUnit(text)]))
}

t.test('a unit for each process', async (t) => {
  const all = await units(t)
  t.strictSame(
    [...all.keys()],
    ['shop-web.service', 'shop-worker.service', 'shop-mails.service', 'shop-release.service'],
  )
  const { Unit, Service, Install } = all.get('shop-web.service') ?? {}
  t.match(Unit, {
    Requires: ['shop-release.service'],
    After: ['network-online.target', 'shop-release.service'],
  })
  t.match(Install, { WantedBy: ['multi-user.target'] })
  t.match(Service, {
    Type: ['notify'],
    NotifyAccess: ['all'],
    WatchdogSec: ['30'],
    WorkingDirectory: ['/srv/shop'],
    ExecStart: ['/srv/shop/node_modules/.bin/manage serve --workers 2'],
    ExecReload: ['/bin/kill -HUP $MAINPID'],
    Restart: ['on-failure'],
    KillMode: ['mixed'],
    TimeoutStopSec: ['30'],
    MemoryMax: ['768M'],
    DynamicUser: ['yes'],
    NoNewPrivileges: ['yes'],
    ProtectSystem: ['strict'],
    CapabilityBoundingSet: [''],
  })
  t.notOk(Service?.MemoryDenyWriteExecute, 'V8 writes the code that it runs')
  const worker = all.get('shop-worker.service')?.Service
  t.notOk(worker?.ExecReload, 'SIGHUP would end it')
  const mails = all.get('shop-mails.service')?.Service
  t.strictSame(mails?.ExecStart, ['/srv/shop/node_modules/.bin/manage worker --queues "a b"'])
  const release = all.get('shop-release.service')
  t.match(release?.Service, {
    Type: ['oneshot'],
    TimeoutStartSec: ['infinity'],
    DynamicUser: ['yes'],
  })
  t.notOk(release?.Install, 'the others start it')
})

t.test('without a release none is waited for; what is not of the kit tells nothing', async (t) => {
  const all = await units(t, shop({ web: 'manage serve', beat: 'node beat.js 100%' }))
  t.notOk(all.get('shop-web.service')?.Unit?.Requires)
  t.match(all.get('shop-beat.service')?.Service, {
    Type: ['exec'],
    ExecStart: ['node beat.js 100%%'],
  })
  t.notOk(all.get('shop-beat.service')?.Service?.WatchdogSec)
})

t.test('one that counts CPUs has as many as are its own', async (t) => {
  const web = { command: 'manage serve --workers auto', cpu: 2 }
  const all = await units(t, shop({ web, worker: 'manage worker' }))
  t.strictSame(all.get('shop-web.service')?.Service?.CPUQuota, ['200%'])
  t.notOk(all.get('shop-worker.service')?.Service?.CPUQuota)
})

t.test('the time to end is that of the delays of the service', async (t) => {
  const defaults = { prod: { DRAIN_DELAY: 10_000, SHUTDOWN_TIMEOUT: 25_500 } }
  const all = await units(t, shop({ web: 'manage serve' }, { defaults }))
  t.strictSame(all.get('shop-web.service')?.Service?.TimeoutStopSec, ['41'])
})

t.test('systemd takes them', async (t) => {
  const verify = findProgram(['systemd-analyze'])
  const folder = t.testdir()
  const program = join(folder, 'node_modules/.bin/manage')
  mkdirSync(join(program, '..'), { recursive: true })
  writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 })
  const files = await write(t, 'systemd', shop(TABLE), { directory: folder })
  const paths = files.map(({ path, text }) => {
    const file = join(folder, basename(path))
    writeFileSync(file, text)
    return file
  })
  t.equal(paths.length, 4)
  // On a machine without systemd what is above is all that can be known.
  if (!verify) return
  const run = (...units: string[]) =>
    spawnSync(verify, ['verify', '--man=no', ...units], { encoding: 'utf8', timeout: 120_000 })
  const { status, stderr } = run(...paths)
  t.strictSame({ status, stderr: ours(stderr, folder) }, { status: 0, stderr: '' })
  const [web = ''] = paths
  writeFileSync(web, (files[0]?.text ?? '').replace('Type=notify', 'Type=notifyy'))
  t.match(run(web).stderr, /notifyy/, 'what is wrong is told')
})

/** What is said of units of the machine is its own business. */
function ours(stderr: string, folder: string): string {
  return stderr
    .split('\n')
    .filter((line) => line.includes(folder) || line.includes('shop-'))
    .join('\n')
}
