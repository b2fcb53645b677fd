import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { ENV, type Ended, nodeOptions } from './manage.ts'

const HOST = fileURLToPath(new URL('manage-host.ts', import.meta.url))

/** What a stream of the host says when a run is over. */
export const END = '\0end of the run\0'

/** One run of `manage`. */
export interface Job {
  script: string
  args: readonly string[]
  env: Record<string, string>
  cwd: string
  /** The folder whose modules are loaded anew. */
  service: string | undefined
}

let host: ChildProcess | undefined
let busy = false

/**
 * Runs `manage` in a process that has loaded the kit for the run before, one for each test file: a tenth of the
 * work of a process of its own.
 *
 * @returns killed after two minutes; `undefined` while another one runs there
 */
export async function runHosted(job: Job): Promise<Ended | undefined> {
  if (busy) return undefined
  busy = true
  host ??= start(job.env.NODE_OPTIONS)
  const child = host
  const timer = setTimeout(() => child.kill('SIGKILL'), 120_000)
  hold(child, true)
  const said = Promise.all([collect(child.stdout), collect(child.stderr)])
  child.send(job)
  const ending = once(child, 'message').then(([code]): [number, null] => [code, null])
  const [code, signal] = await Promise.race([ending, died(child)])
  const [stdout, stderr] = await said
  clearTimeout(timer)
  hold(child, false)
  busy = false
  return { code, signal, stdout, stderr }
}

function start(options: string | undefined): ChildProcess {
  const stdio = ['ignore', 'pipe', 'pipe', 'ipc'] as const
  return spawn(ENV, [nodeOptions(options), process.execPath, HOST], { stdio: [...stdio] })
}

async function died(child: ChildProcess): Promise<[number | null, NodeJS.Signals | null]> {
  const [code, signal] = await once(child, 'exit')
  host = undefined
  return [code, signal]
}

/** Everything until the run is over, or the process. */
function collect(stream: Readable | null): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    const end = () => {
      stream?.off('data', take).off('end', end)
      resolve(text.replace(END, ''))
    }
    const take = (chunk: string) => {
      text += chunk
      if (text.endsWith(END)) end()
    }
    stream?.setEncoding('utf8').on('data', take).on('end', end)
  })
}

/** Keeps this process alive while a run is under way, and no longer. */
function hold(child: ChildProcess, wanted: boolean): void {
  const how = wanted ? 'ref' : 'unref'
  child[how]()
  child.channel?.[how]()
  for (const stream of [child.stdout, child.stderr]) (stream as never as ChildProcess)?.[how]()
}
