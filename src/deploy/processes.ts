import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ProcessSettings, ProcessTable, ServiceDefinition } from '../define-service.ts'
import { errors } from '../errors.ts'
import { foldersOf, modulesOf } from '../kit.ts'
import { ResourceRegistry } from '../resource/registry.ts'

/** One kind of process. */
export interface Process extends Required<ProcessSettings> {
  readonly name: string
  /** The command, word by word: `['manage', 'serve']`. */
  readonly words: readonly string[]
  /** Whether it starts a process for each CPU that it may use: those of its machine, unless it is limited to its own. */
  readonly countsCpus: boolean
}

/** What a platform runs of a service. */
export interface Processes {
  /** Those that stay: `web` first. */
  readonly long: readonly Process[]
  /** What runs once before each release, if anything does. */
  readonly release: Process | undefined
}

/**
 * The processes of a service: those of its table, or what follows from what it is.
 *
 * @param root its folder
 * @throws {PlinthError} PROCESSES_INVALID
 */
export function readProcesses(service: ServiceDefinition, root: string): Processes {
  const table = service.processes ?? defaultTable(service, root)
  const named = Object.entries(table).flatMap(([name, given]) =>
    given === undefined ? [] : [readProcess(name, given)],
  )
  const web = named.find(({ name }) => name === 'web')
  if (!web)
    throw errors.PROCESSES_INVALID(
      `there is no web among them (${named.map(({ name }) => name).join(', ') || 'none'}); add one: web: 'manage serve'`,
    )
  const others = named.filter(({ name }) => name !== 'web' && name !== 'release')
  return { long: [web, ...others], release: named.find(({ name }) => name === 'release') }
}

function defaultTable(service: ServiceDefinition, root: string): ProcessTable {
  const hasMigrations =
    existsSync(join(root, 'migrations')) || foldersOf(service, 'migrations').length > 0
  return {
    web: 'manage serve',
    ...(hasTasks(service) && { worker: 'manage worker' }),
    ...(hasMigrations && { release: 'manage migrate' }),
  }
}

/** Whether anything is known to run as a task; what code enqueues is not. */
export function hasTasks(service: ServiceDefinition): boolean {
  const { async, taskQueues = [], limits = {} } = service
  const registry = new ResourceRegistry(modulesOf(service), async === undefined ? {} : { async })
  const isTask = ({ definition }: { definition: Definition }) =>
    Boolean(definition.task || definition.schedule || definition.async)
  return (
    taskQueues.length > 0 ||
    Object.keys(limits).length > 0 ||
    [...registry.listings()].some(({ entry, module }) => module.async || isTask(entry.resource))
  )
}

type Definition = { task?: unknown; schedule?: unknown; async?: unknown }

// What Kubernetes takes as a part of a name, with room for that of the service.
const NAME = /^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$/
const KEYS: readonly string[] = ['command', 'replicas', 'maxReplicas', 'cpu', 'memory']
const WORD = /"([^"]*)"|'([^']*)'|(\S+)/g
// Between a shell and a process signals are lost.
const SHELL = /[|&;<>()$`\\\n]/

function readProcess(name: string, given: string | ProcessSettings): Process {
  const settings = typeof given === 'string' ? { command: given } : given
  const isWeb = name === 'web'
  const { command, replicas = isWeb ? 2 : 1, cpu = 1, memory = 512 } = settings
  const { maxReplicas = isWeb ? Math.max(10, replicas) : replicas } = settings
  const refuse = (problem: string) => errors.PROCESSES_INVALID(`${name} ${problem}`)
  if (!NAME.test(name))
    throw refuse('cannot be called so; expected up to 20 lower case letters, digits and -')
  const strange = Object.keys(settings).find((key) => !KEYS.includes(key))
  if (strange !== undefined)
    throw refuse(`has ${strange}, which nothing reads; expected one of ${KEYS.join(', ')}`)
  if (typeof command !== 'string' || command.trim() === '')
    throw refuse("has no command; expected one as 'manage serve'")
  if (SHELL.test(command))
    throw refuse(
      `has a command for a shell (${command}), which would keep signals from the process; write words alone, and what takes several commands as a command of the service`,
    )
  for (const [key, value] of Object.entries({ replicas, maxReplicas, cpu, memory }))
    if (!(typeof value === 'number' && value > 0) || (key.endsWith('eplicas') && value % 1 !== 0))
      throw refuse(`has ${key} ${value}; expected a number above 0`)
  if (maxReplicas < replicas)
    throw refuse(`has maxReplicas ${maxReplicas}, and replicas ${replicas}; expected no fewer`)
  const words = Array.from(
    command.matchAll(WORD),
    ([, double, single, bare]) => double ?? single ?? bare ?? '',
  )
  const countsCpus = / (-w|--workers)[ =]?auto\b/.test(words.join(' '))
  return { name, command, words, countsCpus, replicas, maxReplicas, cpu, memory }
}
