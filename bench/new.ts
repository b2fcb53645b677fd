// A new service beside a new project of NestJS and one of AdonisJS, made in the same run: docs/benchmarks.md. `node bench/new.ts`
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { kit } from '../src/process/kit.ts'
import { pack } from '../test/helpers/pack.ts'
import { addressOf } from './server.ts'
import { median } from './statistics.ts'

const TIMES = 3
const folder = mkdtempSync(join(tmpdir(), 'plinth-new-'))
const project = join(folder, 'demo')
/** What npm has downloaded before counts for all: it is not the network that is measured. */
const env = {
  ...process.env,
  npm_config_prefer_offline: 'true',
  npm_config_audit: 'false',
  npm_config_fund: 'false',
  npm_config_update_notifier: 'false',
}

/** Each makes the folder `demo` and installs its packages. */
const makers: Record<string, () => void> = {
  plinth() {
    newService()
    run('npm', ['install'], project)
  },
  NestJS() {
    const args = ['new', 'demo', '--package-manager', 'npm', '--skip-git']
    run('npx', ['--yes', '@nestjs/cli@latest', ...args])
  },
  AdonisJS() {
    run('npx', ['--yes', 'create-adonisjs@latest', 'demo', '--kit=api', '--pkg=npm'])
  },
}

try {
  await pack(folder)
  console.log('| a new project | packages | MB | files written | seconds |')
  console.log('| --- | --: | --: | --: | --: |')
  for (const [name, make] of Object.entries(makers)) console.log(row(name, make))
  console.log('\n| from nothing to the first answer | seconds |\n| --- | --: |')
  for (const [name, install] of Object.entries({
    'npm install, what is there from the cache': () => run('npm', ['install'], project),
    'npm install --offline': () => run('npm', ['install', '--offline'], project),
    'its packages are there': () =>
      renameSync(join(folder, 'modules'), join(project, 'node_modules')),
  })) {
    const times: number[] = []
    for (let i = 0; i < TIMES; i++) times.push(await firstAnswer(install))
    console.log(`| ${name} | ${median(times).toFixed(1)} |`)
  }
} finally {
  rmSync(folder, { recursive: true })
}

function row(name: string, make: () => void): string {
  const times: number[] = []
  try {
    for (let i = 0; i <= TIMES; i++) {
      rmSync(project, { recursive: true, force: true })
      const began = performance.now()
      make()
      // create-adonisjs ends with 0 where it could not download its starter kit.
      if (!existsSync(join(project, 'package-lock.json'))) throw new Error('nothing was installed')
      if (i > 0) times.push((performance.now() - began) / 1000)
    }
  } catch (error) {
    return `| ${name} | could not be made here: ${(error as Error).message.split('\n')[0]} |`
  }
  const { packages } = JSON.parse(readFileSync(join(project, 'package-lock.json'), 'utf8'))
  const modules = join(project, 'node_modules')
  const megabytes = sizeOf(modules).bytes / 1e6
  const written = sizeOf(project).files - sizeOf(modules).files - 1 // without the lock file
  // The project itself is one of the packages.
  const count = Object.keys(packages).length - 1
  return `| ${name} | ${count} | ${megabytes.toFixed(0)} | ${written} | ${median(times).toFixed(1)} |`
}

/** Makes a service, and serves it until it has answered once; the packages are kept. */
async function firstAnswer(install: () => void): Promise<number> {
  const modules = join(folder, 'modules')
  rmSync(project, { recursive: true, force: true })
  const began = performance.now()
  newService()
  install()
  const server = spawn('npm', ['start'], {
    cwd: project,
    env: { ...env, PORT: '0' },
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const answer = await fetch(`${await addressOf(server.stdout)}/notes/count`)
    if (!answer.ok) throw new Error(`it has answered ${answer.status}`)
    return (performance.now() - began) / 1000
  } finally {
    const closed = once(server, 'close')
    process.kill(-(server.pid as number), 'SIGTERM')
    await closed
    rmSync(modules, { recursive: true, force: true })
    renameSync(join(project, 'node_modules'), modules)
  }
}

function newService(): void {
  const args = [
    'new',
    'demo',
    '--yes',
    '--no-git',
    '--plinth',
    `file:../plinth-${kit().version}.tgz`,
  ]
  run(process.execPath, [join(folder, 'copy/bin/manage'), ...args])
}

function run(program: string, args: readonly string[], cwd = folder): void {
  execFileSync(program, args, { cwd, env, stdio: ['ignore', 'ignore', 'pipe'] })
}

/** Git's own files are not counted. */
function sizeOf(path: string): { files: number; bytes: number } {
  if (!existsSync(path) || basename(path) === '.git') return { files: 0, bytes: 0 }
  const status = lstatSync(path)
  if (!status.isDirectory()) return { files: 1, bytes: status.size }
  const sizes = readdirSync(path).map((name) => sizeOf(join(path, name)))
  return {
    files: sizes.reduce((sum, { files }) => sum + files, 0),
    bytes: sizes.reduce((sum, { bytes }) => sum + bytes, 0),
  }
}
