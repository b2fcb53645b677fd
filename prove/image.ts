import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { pack } from '../test/helpers/pack.ts'
import { findProgram } from '../test/servers/program.ts'
import { freePort } from '../test/servers/ready.ts'
import { assertSame, type Proof, type ProofOptions } from './proof.ts'

const ROOT = join(import.meta.dirname, '..')
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt'
const execute = promisify(execFile)

export const proof: Proof = {
  summary:
    'The image of `manage deploy docker` is built, serves as process 1 without rights, npm and a file that it could write, tells its health, and ends in order',
  drivers: ['http'],
  size: { full: 3, short: 1 },
  // And root, and a registry of packages; none of images, as its base is made of what is on this machine.
  needs: 'buildah',
  prove,
}

const SERVICE = `
import { setTimeout as sleep } from 'node:timers/promises'
import { defineModule, defineResource, defineService, Type } from 'plinth'

const wait = defineResource({
  summary: 'Wait',
  request: Type.Object({ ms: Type.Integer() }),
  response: Type.Integer(),
  async perform({ ms }) {
    await sleep(ms)
    return process.pid
  },
})

export default defineService({
  name: 'shop',
  modules: { things: defineModule({ prefix: '/wait', resources: { wait } }) },
})
`

async function prove({ folder, size, tell, teardown }: ProofOptions) {
  const images = new Images(join(folder, 'images'))
  teardown(() => images.remove())
  const service = await writeService(folder, teardown)
  const base = await images.commit(await makeRoot(join(folder, 'base')))
  const began = performance.now()
  const image = await images.build(service, base)
  const seconds = Math.round((performance.now() - began) / 1000)
  assertSame([image.User, image.Cmd], ['1000:1000', ['manage', 'serve']], 'the image')
  const root = await images.mount()
  for (const path of ['usr/local/bin/npm', 'usr/local/lib/node_modules', 'root/.npmrc'])
    assertSame(existsSync(join(root, path)), false, `${path} in the image`)
  assertSame(statSync(join(root, 'app/src/service.ts')).uid, 0, 'the owner of the code')
  const stops: number[] = []
  for (let round = 1; round <= size; round++) {
    stops.push(await serveAndStop(root, image))
    tell(round)
  }
  const { stdout } = await execute('du', ['-sm', join(root, 'app')])
  return {
    'seconds to build': seconds,
    'MB of the service': Number.parseInt(stdout, 10),
    'most ms to stop': Math.round(Math.max(...stops)),
  }
}

/** A service with its lock file and what `manage deploy docker` writes; it downloads the kit from this process. */
async function writeService(folder: string, teardown: ProofOptions['teardown']): Promise<string> {
  const service = join(folder, 'shop')
  const packed = join(folder, 'packed')
  for (const one of [join(service, 'src'), packed]) mkdirSync(one, { recursive: true })
  const archive = await pack(packed)
  const server = createServer((_, response) => response.end(readFileSync(archive)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const { peerDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const dependencies = {
    plinth: `http://127.0.0.1:${port}/plinth.tgz`,
    fastify: peerDependencies.fastify,
  }
  const manifest = { name: 'shop', version: '1.0.0', private: true, type: 'module', dependencies }
  writeFileSync(join(service, 'package.json'), JSON.stringify(manifest))
  writeFileSync(join(service, 'src/service.ts'), SERVICE)
  await execute('npm', ['install', '--package-lock-only', '--no-audit'], { cwd: service })
  // What writes the files is the kit as it is here.
  symlinkSync(join(folder, 'node_modules'), join(service, 'node_modules'))
  const args = ['--conditions=plinth-source', join(ROOT, 'bin/manage'), 'deploy', 'docker']
  const env = { ...process.env, PLINTH_SERVICE: service }
  await execute(process.execPath, args, { cwd: service, env })
  return service
}

/** A folder with what a base image has, of the programs of this machine: a shell, Node.js and npm. */
async function makeRoot(root: string): Promise<string> {
  for (const path of ['tmp', 'proc', 'root', 'etc/ssl/certs', 'usr/bin', 'usr/local/bin'])
    mkdirSync(join(root, path), { recursive: true })
  chmodSync(join(root, 'tmp'), 0o1777)
  for (const name of ['bin', 'lib', 'lib64']) {
    mkdirSync(join(root, 'usr', name), { recursive: true })
    symlinkSync(`usr/${name}`, join(root, name))
  }
  writeFileSync(
    join(root, 'etc/passwd'),
    'root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/tmp:/bin/sh\n',
  )
  copyFileSync(CERTIFICATES, join(root, CERTIFICATES))
  for (const name of ['sh', 'rm', 'env', 'sleep']) await copyProgram(name, root, `usr/bin/${name}`)
  await copyProgram(process.execPath, root, 'usr/local/bin/node')
  const npm = join(realpathSync(findProgram(['npm']) ?? ''), '../..')
  cpSync(npm, join(root, 'usr/local/lib/node_modules/npm'), { recursive: true })
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/local/bin/npm'))
  return root
}

/** With the libraries that it needs. */
async function copyProgram(name: string, root: string, path: string): Promise<void> {
  const program = findProgram([name]) ?? name
  copyFileSync(program, join(root, path))
  const { stdout } = await execute('ldd', [program])
  for (const [, library = ''] of stdout.matchAll(/(\/\S+) \(0x/g)) {
    mkdirSync(join(root, dirname(library)), { recursive: true })
    copyFileSync(library, join(root, library))
  }
}

/** What the image says of its process. */
interface ImageConfig {
  readonly User: string
  readonly Cmd: readonly string[]
  readonly Env: readonly string[]
  readonly StopSignal: string
  readonly Healthcheck: { readonly Test: readonly string[] }
}

/** Images in a folder of their own, by `buildah`, without a daemon. */
class Images {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  /** The name of an image that has what is in `root`. */
  async commit(root: string): Promise<string> {
    const container = await this.#run('from', 'scratch')
    await this.#run('copy', '--quiet', container, root, '/')
    await this.#run('commit', '--quiet', container, 'localhost/base')
    return 'localhost/base'
  }

  async build(service: string, base: string): Promise<ImageConfig> {
    const npmrc = join(this.#folder, 'npmrc')
    const { stdout } = await execute('npm', ['config', 'get', 'registry'])
    writeFileSync(npmrc, `registry=${stdout.trim()}\ncafile=${CERTIFICATES}\n`)
    await this.#run(
      ...[
        'build',
        '--quiet',
        '--isolation',
        'chroot',
        '--format',
        'docker',
        '--tag',
        'localhost/shop',
      ],
      ...['--secret', `id=npmrc,src=${npmrc}`, '--build-arg', `NODE_IMAGE=${base}`, service],
    )
    const inspected = await this.#run('inspect', '--type', 'image', 'localhost/shop')
    return JSON.parse(inspected).Docker.config
  }

  /** The folder that a container of it has as its root. */
  async mount(): Promise<string> {
    return await this.#run('mount', await this.#run('from', 'localhost/shop'))
  }

  async remove(): Promise<void> {
    await this.#run('umount', '--all').catch(() => {})
    await execute('rm', ['-rf', this.#folder])
  }

  async #run(...args: string[]): Promise<string> {
    const place = ['--root', join(this.#folder, 'root'), '--runroot', join(this.#folder, 'run')]
    const all = [...place, '--storage-driver', 'vfs', ...args]
    mkdirSync(this.#folder, { recursive: true })
    const { stdout } = await execute('buildah', all, { maxBuffer: 2 ** 26 })
    return stdout.trim()
  }
}

/** Runs the process of the image as its first one, ends it while it answers, and tells how many ms that took. */
async function serveAndStop(root: string, image: ImageConfig): Promise<number> {
  const port = await freePort()
  const env = [...image.Env, `PORT=${port}`, 'DRAIN_DELAY=500']
  const container = start(root, env, image.Cmd)
  const ended = once(container, 'exit')
  const url = `http://127.0.0.1:${port}`
  await untilReady(`${url}/readyz`)
  const pid = await childOf(container.pid ?? 0)
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const told = (name: string) =>
    new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(status)?.[1]?.split(/\s+/)
  assertSame([told('Uid')?.[0], told('NSpid')?.at(-1)], ['1000', '1'], 'its user and its number')
  const [, ...check] = image.Healthcheck.Test
  assertSame(await codeOf(start(root, env, check)), 0, 'its health')
  assertSame(await codeOf(start(root, [...image.Env, 'PORT=1'], check)), 1, 'the health of none')
  const answer = fetch(`${url}/wait?ms=1500`).then((response) => response.json())
  await sleep(300)
  const began = performance.now()
  process.kill(pid, image.StopSignal as NodeJS.Signals)
  assertSame(((await answer) as { data: number }).data, 1, 'what was in flight')
  const [code] = await ended
  assertSame(code, 0, 'the exit code')
  return performance.now() - began
}

/** A process in `root`, which it cannot write to, with a numbering of processes of its own: what is started is its first. */
function start(root: string, env: readonly string[], words: readonly string[]) {
  const isolate = ['--mount', '--pid', '--fork', '--kill-child', 'sh', '-c']
  // As `docker run --read-only --tmpfs /tmp` and Kubernetes have it.
  const mounts = [
    `mount --bind ${root} ${root}`,
    `mount -t proc proc ${root}/proc`,
    `mount -t tmpfs tmpfs ${root}/tmp`,
    `mount -o remount,bind,ro ${root}`,
  ]
  const enter = `${mounts.join(' && ')} && exec chroot --userspec=1000:1000 ${root} "$@"`
  const within = ['/usr/bin/env', '-i', '-C', '/app', ...env, ...words]
  return spawn('unshare', [...isolate, enter, 'sh', ...within], {
    stdio: 'ignore',
    env: { PATH: process.env.PATH ?? ['/usr/sbin', '/usr/bin', '/bin'].join(delimiter) },
  })
}

async function codeOf(child: ReturnType<typeof start>): Promise<unknown> {
  const [code] = await once(child, 'exit')
  return code
}

async function childOf(pid: number): Promise<number> {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim())
}

async function untilReady(url: string): Promise<void> {
  for (let i = 0; i < 600; i++) {
    const isReady = await fetch(url).then(
      ({ ok }) => ok,
      () => false,
    )
    if (isReady) return
    await sleep(50)
  }
  throw new Error(`${url} was not ready in half a minute`)
}
