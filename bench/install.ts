// What a production install of the packed package downloads, by what of it is used: docs/install.md.
// `node bench/install.ts [tarball]`; without one the repository is packed.
import { execFileSync } from 'node:child_process'
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { kit } from '../src/process/kit.ts'
import { pack } from '../test/helpers/pack.ts'
import { median } from './statistics.ts'

const MYSQL = ['@fastify/mysql', 'mysql2']
const { peerDependencies, overrides } = kit() as unknown as Manifest
const CASES: Record<string, readonly string[]> = {
  'resources alone': ['fastify'],
  'database alone, SQLite': ['fastify'],
  'database alone, MySQL': ['fastify', ...MYSQL],
  everything: Object.keys(peerDependencies),
}
const TIMES = 3

interface Manifest {
  peerDependencies: Record<string, string>
  overrides: Record<string, string>
}

const folder = mkdtempSync(join(tmpdir(), 'plinth-install-'))
try {
  const given = process.argv[2]
  const tarball = given ? resolve(given) : await pack(folder)
  console.log('| what is used | packages | MB | seconds |\n| --- | --- | --- | --- |')
  for (const [name, peers] of Object.entries(CASES)) {
    const { packages, bytes, seconds } = measure(tarball, peers)
    console.log(`| ${name} | ${packages} | ${(bytes / 1e6).toFixed(1)} | ${seconds.toFixed(1)} |`)
  }
} finally {
  rmSync(folder, { recursive: true })
}

/** Installs `TIMES` times into an empty folder, after once that fills npm's cache: it is not the network that is measured. */
function measure(tarball: string, peers: readonly string[]) {
  const project = join(folder, 'project')
  const times: number[] = []
  for (let i = 0; i <= TIMES; i++) {
    rmSync(project, { recursive: true, force: true })
    mkdirSync(project)
    const versions = peers.map((peer) => [peer, peerDependencies[peer]])
    const dependencies = { plinth: `file:${tarball}`, ...Object.fromEntries(versions) }
    writeFileSync(
      join(project, 'package.json'),
      JSON.stringify({ private: true, dependencies, overrides }),
    )
    const began = performance.now()
    const quiet = ['--omit=dev', '--prefer-offline', '--no-audit', '--no-fund']
    execFileSync('npm', ['install', ...quiet], {
      cwd: project,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    if (i > 0) times.push((performance.now() - began) / 1000)
  }
  const { packages } = JSON.parse(readFileSync(join(project, 'package-lock.json'), 'utf8'))
  const bytes = bytesOf(join(project, 'node_modules'))
  // The project itself is one of them.
  return { packages: Object.keys(packages).length - 1, bytes, seconds: median(times) }
}

function bytesOf(path: string): number {
  const status = lstatSync(path)
  if (!status.isDirectory()) return status.size
  return readdirSync(path).reduce((sum, name) => sum + bytesOf(join(path, name)), 0)
}
