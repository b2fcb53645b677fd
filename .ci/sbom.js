// Prints what installing the kit brings, as CycloneDX: node .ci/sbom.js [FOLDER] > sbom.cdx.json. `npm sbom --omit dev` in the
// repository leaves out what its tools need as well (pino, Ajv, Fastify): npm gets a lock file without the tools.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { closure, kitNames, readLock } from './lock.js'

const source = process.argv[2] ?? join(import.meta.dirname, '..')
const own = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'))
const packages = readLock(source)

const { name, version, description, license, dependencies } = own
const needed = kitNames(own).filter((one) => own.peerDependencies?.[one])
const peerDependencies = Object.fromEntries(needed.map((one) => [one, own.peerDependencies[one]]))
const kit = { name, version, description, license, dependencies, peerDependencies }
const brought = [...closure(packages, '', kitNames(own))].map((path) => [
  path,
  { ...packages[path], dev: undefined },
])

const temporary = mkdtempSync(join(tmpdir(), 'plinth-sbom-'))
// npm says the name of the folder for that of the package.
const folder = join(temporary, name)
try {
  mkdirSync(folder)
  write('package.json', kit)
  write('package-lock.json', {
    name,
    version,
    lockfileVersion: 3,
    packages: { '': kit, ...Object.fromEntries(brought) },
  })
  const args = [
    'sbom',
    '--sbom-format',
    'cyclonedx',
    '--sbom-type',
    'library',
    '--package-lock-only',
  ]
  const { status } = spawnSync('npm', args, {
    cwd: folder,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  process.exitCode = status ?? 1
} finally {
  rmSync(temporary, { recursive: true })
}

function write(file, value) {
  writeFileSync(join(folder, file), JSON.stringify(value))
}
