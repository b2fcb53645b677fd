import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { runHosted } from './manage-hosted.ts'

export const MANAGE = fileURLToPath(new URL('../../bin/manage', import.meta.url))

export interface ManageOptions {
  /** The folder of the service; default: none is named. */
  service?: string
  /** Beside PATH, HOME and NODE_OPTIONS, which `undefined` takes away. */
  env?: Record<string, string | undefined>
  cwd?: string
  /** What stdin says; default: nothing. `null`: it stays open, for the test to write to. */
  input?: string | null
  /** What the process has as its descriptor 3; default: nothing. */
  descriptor?: number
  /** The program and its arguments before those of `manage`; default: this Node.js and bin/manage. */
  program?: readonly string[]
}

/** How a process ended, and everything it said. */
export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** A process under way. */
export interface Running {
  readonly process: ChildProcessWithoutNullStreams
  /** What it has said so far. */
  readonly said: { stdout: string; stderr: string }
  readonly ended: Promise<Ended>
  /** Waits until one of its streams matches; rejects when it has ended without, or after a minute. */
  until(stream: 'stdout' | 'stderr', pattern: RegExp): Promise<RegExpExecArray>
}

const SOURCES = '--conditions=plinth-source'

/** Which kit a process runs, by options of Node.js: that which `npm test` has built (test/servers/kit.ts), else its sources. */
export const KIT_OPTIONS: readonly string[] = process.env.PLINTH_TEST_BUILT ? [] : [SOURCES]
export const KIT = KIT_OPTIONS.join(' ')

/** What every command gets of this process' environment. */
export function baseEnv(): Record<string, string | undefined> {
  const { PATH, HOME } = process.env
  return { PATH, HOME, NODE_OPTIONS: KIT }
}

// tap puts loaders of its own into the NODE_OPTIONS of every child, after we have set them: `env` sets them again.
export const ENV = '/usr/bin/env'

export function nodeOptions(options = ''): string {
  return `NODE_OPTIONS=${options}`
}

/** Starts `manage`; whatever is left of it when the test ends is killed. */
export function startManage(
  t: Test,
  args: readonly string[],
  {
    cwd,
    input = '',
    descriptor,
    program = [process.execPath, MANAGE],
    ...options
  }: ManageOptions = {},
): Running {
  const variables = variablesOf(options)
  const child = spawn(ENV, [nodeOptions(variables.NODE_OPTIONS), ...program, ...args], {
    ...(cwd && { cwd }),
    // A group of its own, so that its children end with it.
    detached: true,
    env: variables,
    stdio: ['pipe', 'pipe', 'pipe', ...(descriptor === undefined ? [] : [descriptor])],
  }) as ChildProcessWithoutNullStreams
  t.teardown(() => killGroup(child.pid))
  // It may end before it has read everything.
  child.stdin.on('error', () => {})
  if (input !== null) child.stdin.end(input)
  const said = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      said[stream] += text
    })
  }
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, ...said }))
  return { process: child, said, ended, until: (...args) => until(child, said, ...args) }
}

/**
 * Runs `manage` to its end; killed after two minutes. In a process of its own only where that could make a difference:
 * see manage-hosted.ts.
 */
export async function manage(
  t: Test,
  args: readonly string[],
  options: ManageOptions = {},
): Promise<Ended> {
  return (await hosted(args, options)) ?? (await manageAlone(t, args, options))
}

/** The same in a process of its own. */
export async function manageAlone(
  t: Test,
  args: readonly string[],
  options: ManageOptions = {},
): Promise<Ended> {
  const { process: child, ended } = startManage(t, args, options)
  const timer = setTimeout(() => killGroup(child.pid), 120_000)
  return await ended.finally(() => clearTimeout(timer))
}

// They take over the process: its signals, its terminal.
function takesOver([command, ...args]: readonly string[]): boolean {
  if (command === 'shell') return !/^(-e|--execute)$/.test(args[0] ?? '')
  return command === 'serve'
}

async function hosted(
  args: readonly string[],
  { service, env, cwd = process.cwd(), input, program }: ManageOptions,
): Promise<Ended | undefined> {
  const differs = program || input !== undefined || (env && 'NODE_OPTIONS' in env)
  if (differs || takesOver(args)) return undefined
  return await runHosted({
    script: MANAGE,
    args,
    // The host is a source itself.
    env: {
      ...variablesOf({ ...(service && { service }), ...(env && { env }) }),
      NODE_OPTIONS: SOURCES,
    },
    cwd,
    service,
  })
}

/** The environment that `options` ask for. */
function variablesOf({ service, env }: ManageOptions): Record<string, string> {
  const named = service === undefined ? {} : { PLINTH_SERVICE: service }
  const variables = { ...baseEnv(), ...named, ...env }
  const set = Object.entries(variables).filter(([, value]) => value !== undefined)
  return Object.fromEntries(set) as Record<string, string>
}

export interface Serving extends Running {
  /** `http://127.0.0.1:40123` */
  readonly url: string
}

/** Runs `manage serve` on a free port until it listens. */
export async function startServe(
  t: Test,
  { args = ['--port', '0'], ...options }: ManageOptions & { args?: readonly string[] },
): Promise<Serving> {
  const running = startManage(t, ['serve', ...args], options)
  const [, url = ''] = await running.until('stdout', /Server listening at (http:[^"]+)"/)
  return { ...running, url }
}

/** The JSON lines of a log. */
export function logLines(stdout: string): Record<string, unknown>[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
}

function until(
  child: ChildProcess,
  said: Running['said'],
  stream: 'stdout' | 'stderr',
  pattern: RegExp,
): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    const fail = (why: string) =>
      reject(new Error(`${why} before ${pattern}:\n${said.stdout}\n${said.stderr}`))
    const timer = setTimeout(() => fail('a minute went by'), 60_000)
    const look = () => {
      const found = pattern.exec(said[stream])
      if (!found) return
      clearTimeout(timer)
      child[stream]?.off('data', look)
      resolve(found)
    }
    child[stream]?.on('data', look)
    child.once('close', () => {
      clearTimeout(timer)
      fail('it ended')
    })
    look()
  })
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid) process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
