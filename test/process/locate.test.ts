import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { locateService } from '../../src/process/locate.ts'

const PLAIN = JSON.stringify({ name: 'plain' })
const SERVICE = JSON.stringify({ name: 'service', dependencies: { plinth: '^1.0.0' } })
const KIT = JSON.stringify({ name: 'plinth', plinth: { service: 'examples/atlas' } })

/** Writes files into a folder that no package is above of. */
function write(t: Test, files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), 'plinth-locate-'))
  t.teardown(() => rmSync(root, { recursive: true }))
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  return root
}

/** Two services, a package that is none, the kit as a clone and as a package of the first service. */
function world(t: Test) {
  const root = write(t, {
    'a/package.json': SERVICE,
    'a/src/service.ts': '',
    'a/sub/deep/x': '',
    'a/sub/package.json': PLAIN,
    'a/node_modules/plinth/package.json': KIT,
    'b/package.json': SERVICE,
    'b/src/service.ts': '',
    'c/package.json': PLAIN,
    'c/src/service.ts': '',
    'kit/package.json': KIT,
    'kit/examples/atlas/src/service.ts': '',
    'kit/src/x': '',
  })
  const at = (folder: string) => ({
    root: join(root, folder),
    file: join(root, folder, 'src/service.ts'),
  })
  const locate = (script: string, cwd: string, env: NodeJS.ProcessEnv = {}) =>
    locateService(join(root, script), join(root, cwd), env)
  return { root, at, locate }
}

t.test("a service's own script finds it from everywhere", async (t) => {
  const { at, locate } = world(t)
  for (const cwd of ['a', 'a/sub', 'b', '.', 'kit']) {
    t.strictSame(locate('a/bin/manage', cwd), at('a'), cwd)
  }
})

t.test(
  'a script that belongs to no service finds the nearest one above the working folder',
  async (t) => {
    const { at, locate } = world(t)
    t.strictSame(locate('c/bin/manage', 'a'), at('a'))
    t.strictSame(locate('c/bin/manage', 'a/sub/deep'), at('a'), 'past a package that is none')
    t.strictSame(locate('bin/manage', 'b/src'), at('b'))
  },
)

t.test("the kit's script: the working folder, then the package it is installed in", async (t) => {
  const { at, locate } = world(t)
  const installed = 'a/node_modules/plinth/bin/manage'
  t.strictSame(locate(installed, 'a/sub/deep'), at('a'))
  t.strictSame(locate(installed, 'b'), at('b'))
  t.strictSame(locate(installed, '.'), at('a'))
})

t.test(
  "a clone of the kit that is linked: the working folder, then the kit's example",
  async (t) => {
    const { at, locate } = world(t)
    t.strictSame(locate('kit/bin/manage', 'a'), at('a'))
    t.strictSame(locate('kit/bin/manage', 'kit/src'), at('kit/examples/atlas'))
    t.strictSame(locate('kit/bin/manage', '.'), at('kit/examples/atlas'))
  },
)

t.test('PLINTH_SERVICE goes before everything, relative to the working folder', async (t) => {
  const { root, at, locate } = world(t)
  t.strictSame(locate('a/bin/manage', 'a', { PLINTH_SERVICE: '../b' }), at('b'))
  t.strictSame(locate('a/bin/manage', 'a', { PLINTH_SERVICE: join(root, 'c') }), at('c'))
  t.strictSame(locate('a/bin/manage', 'b', { PLINTH_SERVICE: '' }), at('a'), 'empty is unset')
  t.throws(() => locate('a/bin/manage', 'a', { PLINTH_SERVICE: 'nosuch' }), {
    code: 'SERVICE_NOT_FOUND',
    message: /^No service in nosuch or above it: /,
  })
})

t.test('where there is none it says where it looked', async (t) => {
  const root = write(t, { 'package.json': SERVICE, 'deep/x': '' })
  const cwd = join(root, 'deep')
  t.throws(() => locateService(join(root, 'bin/manage'), cwd, {}), {
    code: 'SERVICE_NOT_FOUND',
    message: `No service in ${cwd} or above it: expected a package.json with plinth among its dependencies and a src/service.ts`,
  })
})

t.test('a package.json that is no JSON is named', async (t) => {
  const root = write(t, { 'package.json': '{ "name": ', 'src/service.ts': '' })
  t.throws(() => locateService('/bin/manage', root, {}), {
    code: 'SERVICE_BROKEN',
    message: new RegExp(`^${join(root, 'package.json')} cannot be loaded: .*JSON`),
  })
})
