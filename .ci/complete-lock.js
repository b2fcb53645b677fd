// Run after `npm install` with a registry that holds packages for this platform only: npm leaves the optional
// packages for the others out of package-lock.json then, and `npm ci` refuses such a lock file everywhere.
import { readFileSync, writeFileSync } from 'node:fs'

const FILE = new URL('../package-lock.json', import.meta.url)
const OS = ['android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openharmony', 'win32']
const CPU = ['arm64', 'ia32', 'ppc64', 'riscv64', 's390x', 'x64', 'arm']

const lock = JSON.parse(readFileSync(FILE, 'utf8'))
for (const entry of Object.values({ ...lock.packages })) {
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    lock.packages[`node_modules/${name}`] ??= describe(name, range, entry.dev)
  }
}
const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1))
writeFileSync(
  FILE,
  `${JSON.stringify({ ...lock, packages: Object.fromEntries(sorted) }, null, 2)}\n`,
)

function describe(name, range, dev) {
  const words = name.split(/[-/.]/)
  const os = OS.filter((one) => words.includes(one))
  const cpu = CPU.filter((one) => words.includes(one))
  const musl = words.some((word) => word.startsWith('musl'))
  return {
    version: range.replace(/^[\^~]/, ''),
    ...(cpu.length > 0 && { cpu }),
    ...(dev && { dev }),
    ...(os.includes('linux') && { libc: [musl ? 'musl' : 'glibc'] }),
    optional: true,
    ...(os.length > 0 && { os }),
  }
}
