import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Managed } from '../src/process/managed.ts'
import { KIT_OPTIONS, MANAGE } from '../test/helpers/manage.ts'
import type { ProofOptions } from './proof.ts'

type ServiceOptions = Pick<ProofOptions, 'folder' | 'teardown' | 'env'>

/** A process of a service. */
export interface ServiceProcess {
  readonly managed: Managed
  readonly pid: number
  /** Resolves with its exit code when it has ended; null: a signal has ended it. */
  readonly ended: Promise<number | null>
  /** At once, and waits until it has ended. */
  kill(): Promise<void>
}

/**
 * The service of `prove/<name>-service.ts`, whose processes are started as a platform does, by `manage` and with the defaults of the kit.
 *
 * @param env beside what every process needs
 */
export class ProofService {
  readonly #options: ServiceOptions
  readonly #env: NodeJS.ProcessEnv

  constructor(options: ServiceOptions, name: string, env: Readonly<Record<string, string>>) {
    const { folder } = options
    this.#options = options
    mkdirSync(join(folder, 'src'), { recursive: true })
    const manifest = { name: 'prove', type: 'module', dependencies: { plinth: '*' } }
    writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest))
    const service = join(import.meta.dirname, `${name}-service.ts`)
    writeFileSync(join(folder, 'src/service.ts'), `export { default } from '${service}'\n`)
    const { PATH, HOME } = process.env
    // Many are started: those that end by themselves leave the others what they have compiled.
    const own = { PATH, HOME, NODE_COMPILE_CACHE: join(folder, 'cache'), PLINTH_SERVICE: folder }
    this.#env = {
      ...own,
      NODE_ENV: 'production',
      REDIS_PREFIX: 'prove',
      HOST: '127.0.0.1',
      ...options.env,
      ...env,
    }
  }

  /** Starts `manage` with these arguments. */
  start(...args: readonly string[]): ServiceProcess {
    const { folder, teardown } = this.#options
    const program = [process.execPath, ...KIT_OPTIONS, MANAGE]
    const managed = new Managed({ program, args, cwd: folder, env: this.#env })
    const ended = managed.ended()
    const kill = async () => {
      managed.kill()
      await ended
    }
    teardown(kill)
    return { managed, pid: managed.pid as number, ended, kill }
  }

  /** `manage serve`, once it listens. */
  async serve(): Promise<ServiceProcess & { url: string }> {
    const started = this.start('serve', '--port', '0')
    const line = await started.managed.says('Server listening at')
    return { ...started, url: /http:[^"]+/.exec(line)?.[0] ?? '' }
  }

  /** `manage worker`, once it works. */
  async work(...args: readonly string[]): Promise<ServiceProcess> {
    const started = this.start('worker', ...args)
    await started.managed.says('working on tasks')
    return started
  }
}
