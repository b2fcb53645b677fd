import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { withFirst } from '../abort.ts'
import { whenLate } from '../deadlines.ts'
import { errors } from '../errors.ts'

/** Resolves when an attached resource works; must give up when `signal` aborts. */
export interface ReadinessCheck {
  (signal: AbortSignal): Promise<void>
  /** Whether the process can serve without it, too; default false. Such a resource tells the log of itself. */
  optional?: boolean
}

/** What a check throws whose words may be shown to anybody. */
export class ReadinessProblem extends Error {}

/** Whether the process is about to end. */
export class Draining {
  since: Date | null = null
  readonly #stop = new AbortController()

  /** Aborted when that begins. What waits for something that may never come, as a long poll does, ends with it. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  /** Does `work` with a signal that aborts with `signal`, and when the process is about to end. */
  async whileServing<T>(signal: AbortSignal, work: (stop: AbortSignal) => Promise<T>): Promise<T> {
    return await withFirst([signal, this.signal], work)
  }

  begin(): void {
    this.since = new Date()
    this.#stop.abort(new DOMException('The process ends', 'AbortError'))
  }
}

// By server, which is the same in every context of an app.
const apps = new WeakMap<object, Map<string, ReadinessCheck>>()

/** The checks of an app, by name: the same in all of its contexts, and before there is plinth/plugins/health. */
export function readinessOf({ server }: FastifyInstance): Map<string, ReadinessCheck> {
  const checks = apps.get(server) ?? new Map<string, ReadinessCheck>()
  apps.set(server, checks)
  return checks
}

/**
 * Asserts that what a plugin attaches can be told from what the app has attached already.
 *
 * @throws {PlinthError} PLUGIN_NAME_TAKEN
 */
export function assertNameFree(app: FastifyInstance, plugin: string, name: string): void {
  if (readinessOf(app).has(name)) throw errors.PLUGIN_NAME_TAKEN(plugin, name)
}

const checkSchema = Type.Object({
  ok: Type.Boolean(),
  optional: Type.Optional(
    Type.Literal(true, { description: 'Set where the process can serve without it' }),
  ),
  latency_ms: Type.Number({ description: 'How long the check took, in milliseconds' }),
  problem: Type.Optional(
    Type.String({ description: 'Why it does not work, in words that may be shown to anybody' }),
  ),
})

/** What `/readyz` tells: whether the process can serve, and of each attached resource whether it works. */
export const readinessSchema = Type.Object({
  ready: Type.Boolean(),
  draining: Type.Boolean({ description: 'Whether the process is about to end' }),
  checks: Type.Record(Type.String(), checkSchema),
})

type CheckResult = Static<typeof checkSchema>

export type Readiness = Static<typeof readinessSchema>

/**
 * Runs every check at once.
 *
 * @param onError is told why a check that is not optional failed, for the log: that may hold what not everybody may see
 */
export async function checkReadiness(
  checks: ReadonlyMap<string, ReadinessCheck>,
  draining: boolean,
  timeout: number,
  onError: (name: string, error: unknown) => void = () => {},
): Promise<Readiness> {
  const results = await Promise.all(
    Array.from(checks, async ([name, check]) => {
      const { optional } = check
      const tell = optional ? () => {} : (error: unknown) => onError(name, error)
      const { ok, ...rest } = await runCheck(check, timeout, tell)
      return [name, optional ? { ok, optional, ...rest } : { ok, ...rest }] as const
    }),
  )
  return {
    ready: !draining && results.every(([, { ok, optional }]) => ok || optional),
    draining,
    checks: Object.fromEntries(results),
  }
}

async function runCheck(
  check: ReadinessCheck,
  timeout: number,
  onError: (error: unknown) => void,
): Promise<CheckResult> {
  const began = performance.now()
  // Not `AbortSignal.timeout()`: its timer keeps no process alive that waits for nothing else.
  const late = new AbortController()
  const inTime = whenLate(timeout, () => late.abort())
  const problem = await Promise.race([attempt(check, late.signal), lateness(late.signal, timeout)])
    .catch((error) => {
      onError(error)
      if (error instanceof ReadinessProblem) return error.message
      return 'it does not answer as it should; the log tells why'
    })
    .finally(inTime)
  const latency_ms = Math.round((performance.now() - began) * 100) / 100
  return problem === undefined ? { ok: true, latency_ms } : { ok: false, latency_ms, problem }
}

async function attempt(check: ReadinessCheck, signal: AbortSignal): Promise<undefined> {
  await check(signal)
}

function lateness(signal: AbortSignal, timeout: number): Promise<string> {
  return new Promise((resolve) => {
    const late = () => resolve(`no answer within ${timeout} ms`)
    signal.addEventListener('abort', late, { once: true })
  })
}
