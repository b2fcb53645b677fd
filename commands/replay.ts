import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import * as Args from '@oclif/core/args'
import { CLIError } from '@oclif/core/errors'
import * as Flags from '@oclif/core/flags'
import type { FastifyInstance } from 'fastify'
import { BaseCommand } from './_base.ts'
import { formatJson } from './_print.ts'

/** A call as the log has it, and as a fixture. */
interface Recorded {
  resource: string
  input: unknown
  result?: unknown
  /** The code of the error that it came to. */
  error?: string
}

/** What came of one that was called again. */
interface Replayed {
  resource: string
  outcome: 'same' | 'different' | 'left out'
  /** Why it was left out. */
  problem?: string
  was?: unknown
  is?: unknown
}

export default class Replay extends BaseCommand {
  static override summary = 'Call resources again as the log tells, and compare'
  static override description =
    'Reads the lines that resources with `log` leave in the log, or a fixture that --save has written, calls each resource again in this process, and tells which results differ: exit code 1 then. What was cut, or is secret, is left out.'
  static override examples = [
    '<%= config.bin %> replay production.log',
    '<%= config.bin %> replay production.log --save test/calls',
    '<%= config.bin %> replay test/calls/cities.list-1.json',
  ]
  static override enableJsonFlag = true
  static override args = {
    file: Args.string({ required: true, description: 'the log, or a fixture; - reads stdin' }),
  }
  static override flags = {
    save: Flags.string({
      helpValue: 'FOLDER',
      description: 'write each as a fixture there, and call nothing',
    }),
  }

  async run(): Promise<Replayed[] | string[]> {
    const { args, flags } = await this.parse(Replay)
    // Outside of a service that comes first.
    this.locate()
    const recorded = readCalls(await readText(args.file))
    if (flags.save !== undefined) return this.save(recorded, resolve(flags.save))
    const all = await this.withApp(async (app) => {
      const replayed: Replayed[] = []
      // In their order: one may need what another has done.
      for (const one of recorded) replayed.push(await replay(app, one))
      return replayed
    })
    for (const { resource, outcome, problem, was, is } of all) {
      this.log(`${outcome.padEnd(9)}  ${resource}${problem ? `: ${problem}` : ''}`)
      if (outcome === 'different') this.log(`  was ${formatJson(was)}\n  is  ${formatJson(is)}`)
    }
    if (all.some(({ outcome }) => outcome === 'different')) process.exitCode = 1
    return all
  }

  private save(recorded: readonly Recorded[], folder: string): string[] {
    mkdirSync(folder, { recursive: true })
    const counts = new Map<string, number>()
    return recorded.flatMap((one) => {
      const problem = problemOf(one)
      if (problem) {
        this.logToStderr(`left out   ${one.resource}: ${problem}`)
        return []
      }
      const count = (counts.get(one.resource) ?? 0) + 1
      counts.set(one.resource, count)
      const file = join(folder, `${one.resource}-${count}.json`)
      // What is there may have been changed by hand.
      writeFileSync(file, `${formatJson(one)}\n`, { flag: 'wx' })
      this.log(file)
      return [file]
    })
  }
}

/** @throws {CLIError} where it cannot be read: wrong usage */
async function readText(file: string): Promise<string> {
  if (file !== '-') {
    try {
      return readFileSync(file, 'utf8')
    } catch (error) {
      throw new CLIError(`the file cannot be read: ${(error as Error).message}`, { exit: 2 })
    }
  }
  const { text } = await import('node:stream/consumers')
  return text(process.stdin)
}

/** @throws {CLIError} where there is none: wrong usage */
function readCalls(text: string): Recorded[] {
  const whole = parse(text)
  const found = whole ? [whole] : text.split('\n').flatMap((line) => parse(line) ?? [])
  const calls = found.filter((one) => whole === one || (one.msg ?? one.message) === 'call')
  if (calls.length === 0)
    throw new CLIError('there is no call in it: only a resource with `log` leaves them there', {
      exit: 2,
    })
  return calls.map(({ resource, input, result, error }) => {
    return { resource, input, ...(error === undefined ? { result } : { error }) }
  })
}

type Line = Recorded & { msg?: unknown; message?: unknown }

/** A line that tells of a resource; `undefined`: something else. */
function parse(text: string): Line | undefined {
  try {
    const line = JSON.parse(text)
    return typeof line?.resource === 'string' && 'input' in line ? line : undefined
  } catch {
    return undefined
  }
}

/** Why it cannot be called again. */
function problemOf({ input, result }: Recorded): string | undefined {
  const text = JSON.stringify([input, result])
  if (text.includes('"[redacted]"')) return 'something of it is secret'
  const isCut = (value: unknown) => typeof value === 'string' && value.endsWith('......')
  return isCut(input) || isCut(result)
    ? 'it was cut; give its resource log: { limit: 0 }'
    : undefined
}

async function replay(app: FastifyInstance, recorded: Recorded): Promise<Replayed> {
  const { resource: name, input, result, error } = recorded
  const problem = problemOf(recorded)
  if (problem) return { resource: name, outcome: 'left out', problem }
  const { callResource } = await import('../src/resource/call.ts')
  const { toJson } = await import('../src/schema/json.ts')
  const { resource } = app.registry.find(name)
  const now = await app
    .run(() => callResource(resource, input, {}, 'cacheless'))
    .then(
      (value) => ({ result: JSON.parse(JSON.stringify(toJson(value))) }),
      (thrown: { code?: string }) => ({ error: thrown.code ?? 'INTERNAL' }),
    )
  const was = error === undefined ? { result } : { error }
  const isSame = isDeepStrictEqual(now, was)
  return {
    resource: name,
    outcome: isSame ? 'same' : 'different',
    ...(!isSame && { was, is: now }),
  }
}
