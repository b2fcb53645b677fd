import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { ENV, nodeOptions } from './helpers/manage.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

interface Entry {
  [key: string]: unknown
}
interface Project {
  own: { allowScripts: Record<string, boolean>; dependencies: Record<string, string> }
  packages: Record<string, Entry>
}

/** The one of which the lock file does not tell the licence. */
const COUNTRIES = {
  'node_modules/world-countries/package.json': '{ "licenses": [{ "type": "ODbL-1.0" }] }',
}

/** A copy of what says which packages the project has, with changes. Nothing is installed in it but `files`. */
function copy(t: Test, change: (project: Project) => void, files: Record<string, string> = {}) {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))
  const own = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  change({ own, packages: lock.packages })
  const folder = t.testdir({
    'package.json': JSON.stringify(own),
    'package-lock.json': JSON.stringify(lock),
  })
  for (const [path, text] of Object.entries({ ...COUNTRIES, ...files })) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  return folder
}

function run(script: string, folder: string) {
  const args = [nodeOptions(), process.execPath, join(ROOT, '.ci', script), folder]
  const { status, stdout, stderr } = spawnSync(ENV, args, { encoding: 'utf8', timeout: 120_000 })
  return { status, stdout, stderr }
}

const LICENCES =
  '0BSD, Apache-2.0, BlueOak-1.0.0, BSD-2-Clause, BSD-3-Clause, CC0-1.0, ISC, MIT: ask before it is added to .ci/check-supply.js'
const sha512 = `sha512-${'A'.repeat(86)}==`

t.test('what the project has is as it should be', async (t) => {
  const { status, stdout, stderr } = run('check-supply.js', ROOT)
  t.same({ status, stderr }, { status: 0, stderr: '' })
  t.match(stdout, /^the kit brings \d+ packages; with all that it can use they are \d+\n$/)
})

const WRONG: Record<string, [(project: Project) => void, string, Record<string, string>?]> = {
  'an address': [
    ({ packages }) => {
      packages['node_modules/ajv'] = {
        ...packages['node_modules/ajv'],
        resolved: 'https://elsewhere.test/ajv.tgz',
      }
    },
    'node_modules/ajv is from https://elsewhere.test/ajv.tgz; expected no address in package-lock.json',
  ],
  'no integrity': [
    ({ packages }) => {
      delete packages['node_modules/pino']?.integrity
    },
    'node_modules/pino has the integrity undefined; expected one by sha512',
  ],
  'a weak integrity, of a tool': [
    ({ packages }) => {
      packages['node_modules/knip'] = { ...packages['node_modules/knip'], integrity: 'sha1-abc' }
    },
    'node_modules/knip has the integrity sha1-abc; expected one by sha512',
  ],
  'a licence that nobody has looked at': [
    ({ packages }) => {
      packages['node_modules/croner'] = { ...packages['node_modules/croner'], license: 'SSPL-1.0' }
    },
    `node_modules/croner has the licence SSPL-1.0; expected one of ${LICENCES}`,
  ],
  'two licences at once, one of them none of those': [
    ({ packages }) => {
      packages['node_modules/undici'] = {
        ...packages['node_modules/undici'],
        license: '(MIT AND GPL-3.0-only)',
      }
    },
    `node_modules/undici has the licence (MIT AND GPL-3.0-only); expected one of ${LICENCES}`,
  ],
  'no licence': [
    ({ packages }) => {
      delete packages['node_modules/kysely']?.license
    },
    `node_modules/kysely has the licence undefined; expected one of ${LICENCES}`,
  ],
  'another licence than the lock file says': [
    () => {},
    `node_modules/kysely has the licence UNLICENSED; expected one of ${LICENCES}`,
    { 'node_modules/kysely/package.json': '{ "license": "UNLICENSED" }' },
  ],
  'an install script': [
    ({ packages }) => {
      packages['node_modules/croner'] = {
        ...packages['node_modules/croner'],
        hasInstallScript: true,
      }
    },
    'node_modules/croner has an install script; expected allowScripts of package.json to say whether it may run',
  ],
  'an install script that the lock file does not tell': [
    () => {},
    'node_modules/tap has an install script (postinstall); expected allowScripts of package.json to say whether it may run',
    { 'node_modules/tap/package.json': '{ "scripts": { "postinstall": "node steal.js" } }' },
  ],
  'an install script that is not there any more': [
    ({ own }) => {
      own.allowScripts.gone = true
    },
    'allowScripts of package.json names gone, which has no install script',
  ],
  'a package that is not locked': [
    ({ own }) => {
      own.dependencies['not-there'] = '^1.0.0'
    },
    'package.json needs not-there, which is not in package-lock.json; run npm install',
  ],
  'more packages than there may be': [
    ({ packages }) => {
      const names = Array.from({ length: 20 }, (_, i) => `more-${i}`)
      for (const name of names)
        packages[`node_modules/${name}`] = { license: 'MIT', integrity: sha512 }
      const dependencies = Object.fromEntries(names.map((name) => [name, '1']))
      packages['node_modules/croner'] = { ...packages['node_modules/croner'], dependencies }
    },
    'the kit brings 114 packages; expected at most 105: leave one out, or say in docs/decisions/ why not',
  ],
}

for (const [what, [change, problem, files]] of Object.entries(WRONG)) {
  t.test(`${what}: exit code 1, and one line that says so`, async (t) => {
    const { status, stderr } = run('check-supply.js', copy(t, change, files))
    t.same({ status, stderr }, { status: 1, stderr: `${problem}\n` })
  })
}

t.test(
  'the bill of materials has all that installing the kit brings, and none of its tools',
  async (t) => {
    const { status, stdout } = run('sbom.js', ROOT)
    t.equal(status, 0)
    const { bomFormat, metadata, components } = JSON.parse(stdout)
    t.equal(bomFormat, 'CycloneDX')
    t.match(metadata.component, { name: 'plinth', type: 'library' })
    const names: string[] = components.map(({ name }: { name: string }) => name)
    t.strictSame(
      ['ajv', 'fastify', 'kysely', 'pino', 'rfdc', 'typebox'].filter(
        (name) => !names.includes(name),
      ),
      [],
    )
    t.strictSame(
      ['tap', 'typescript', 'knip', 'node', 'atlas', 'plinth'].filter((name) =>
        names.includes(name),
      ),
      [],
    )
    for (const { name, hashes, licenses } of components)
      t.ok(hashes[0].alg === 'SHA-512' && licenses.length > 0, name)
  },
)
