import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { seeded } from '../test/helpers/random-schema.ts'
import { Load } from './load.ts'
import type { Proof, ProofOptions } from './proof.ts'

const WORKERS = 3
/** Clients that keep their connection, and clients that make one for each request. */
const KEPT = 6
const FRESH = 2
/** Seconds of load between two replacements. */
const PAUSE = 2

export const proof: Proof = {
  summary:
    'Under load the processes of `manage serve --workers` are replaced, all by SIGHUP and single ones by SIGTERM, and no request fails',
  drivers: ['sqlite'],
  size: { full: 12, short: 1 },
  prove,
}

const SERVICE = (release: number) => `
import { setTimeout as sleep } from 'node:timers/promises'
import { defineModule, defineResource, defineService, Type } from 'plinth'

const tell = defineResource({
  summary: 'Which process answers',
  request: Type.Object({ wait: Type.Integer({ default: 0 }) }),
  response: Type.Object({ pid: Type.Integer(), release: Type.Integer() }),
  async perform({ wait }) {
    if (wait > 0) await sleep(wait)
    return { pid: process.pid, release: ${release} }
  },
})

export default defineService({
  name: 'rollout',
  modules: { things: defineModule({ prefix: '/things', resources: { tell } }) },
})
`

async function prove(options: ProofOptions): Promise<Record<string, number>> {
  const { folder, seed, size, tell } = options
  const random = seeded(seed)
  const source = join(folder, 'src/service.ts')
  mkdirSync(join(folder, 'src'))
  const manifest = { name: 'rollout', type: 'module', dependencies: { plinth: '*' } }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest))
  writeFileSync(source, SERVICE(0))
  const group = new Group(folder, await options.createDatabase())
  options.teardown(() => group.kill())
  const url = await group.url()
  const next = () => `${url}/things?wait=${random() < 0.05 ? Math.floor(random() * 200) : 0}`
  const loads = [new Load(KEPT, next), new Load(FRESH, next, false)]
  options.teardown(() => Promise.all(loads.map((load) => load.stop())))
  for (let round = 1; round <= size; round++) {
    await sleep(PAUSE * 1000)
    writeFileSync(source, SERVICE(round))
    group.signal('SIGHUP')
    await group.says('the processes are replaced')
    await sleep(PAUSE * 1000)
    const { pid, release } = await whoAnswers(url)
    if (release !== round)
      throw new Error(`after SIGHUP release ${release} answers, wanted ${round}`)
    process.kill(pid, 'SIGTERM')
    await group.says('a process has ended by itself; another takes its place')
    tell(round)
  }
  await sleep(PAUSE * 1000)
  await Promise.all(loads.map((load) => load.stop()))
  group.signal('SIGTERM')
  const code = await group.ended()
  const failures = loads.flatMap((load) => load.failures)
  const requests = loads.reduce((sum, load) => sum + load.requests, 0)
  if (failures.length > 0)
    throw new Error(
      `${failures.length} of ${requests} requests failed: ${failures.slice(0, 5).join(', ')}`,
    )
  if (code !== 0) throw new Error(`the group ended with ${code}`)
  return { requests, failed: 0, replaced: size * (WORKERS + 1) }
}

async function whoAnswers(url: string): Promise<{ pid: number; release: number }> {
  const { data } = (await (await fetch(`${url}/things`)).json()) as { data: never }
  return data
}

/** A group of processes that serve, and its log. */
class Group {
  readonly #child: ChildProcess
  readonly #lines: string[] = []
  #heard = 0

  constructor(folder: string, database: string) {
    const manage = join(import.meta.dirname, '../bin/manage')
    const args = [
      '--conditions=plinth-source',
      manage,
      'serve',
      '--workers',
      `${WORKERS}`,
      '--port',
      '0',
    ]
    const { PATH, HOME } = process.env
    const service = { PLINTH_SERVICE: folder, DATABASE_URL: database, LOG_LEVEL: 'info' }
    const env = { PATH, HOME, ...service, NODE_ENV: 'production', DRAIN_DELAY: '0' }
    const stdio = ['ignore', 'pipe', 'inherit'] as const
    this.#child = spawn(process.execPath, args, { cwd: folder, env, stdio: [...stdio] })
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      if (!line.includes('"path":')) this.#lines.push(line)
    })
  }

  async url(): Promise<string> {
    const line = await this.says('Server listening at')
    await this.says('serving')
    return /http:[^"]+/.exec(line)?.[0] ?? ''
  }

  /** Waits for a line of the log that has not been waited for before. */
  async says(message: string): Promise<string> {
    const end = performance.now() + 60_000
    while (performance.now() < end) {
      for (; this.#heard < this.#lines.length; this.#heard++) {
        const line = this.#lines[this.#heard] as string
        if (line.includes(`"msg":"${message}`)) {
          this.#heard++
          return line
        }
      }
      await sleep(20)
    }
    throw new Error(
      `within a minute the log did not say "${message}":\n${this.#lines.slice(-20).join('\n')}`,
    )
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async ended(): Promise<number | null> {
    if (this.#child.exitCode === null) await once(this.#child, 'exit')
    return this.#child.exitCode
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}
