import { findings, found, type PluginFinding } from '../findings.ts'

/** One thing that was looked at. */
export interface Finding extends PluginFinding {
  /**
   * `configuration`, `app`, `attached`, `requests`, `docs`, `contract`, `queues`, `migrations`, `models`, `lint`, `lists`,
   * `production`, `deployment`, `routes`, or the name of a plugin.
   */
  readonly check: string
  /** Why the service accepts it, which makes it `ok`. */
  readonly accepted?: string
  /** Where docs of the kit tell of its code. */
  readonly page?: string
}

/**
 * Makes `ok` what a service accepts, gives each other one its code and page, and tells of what is accepted and cannot be found.
 *
 * @param accepted reasons by code, or by code and subject with `:` between them
 */
export function acceptFindings(
  all: readonly Finding[],
  accepted: Readonly<Record<string, string>> = {},
): Finding[] {
  const judged = all.map((finding): Finding => {
    if (finding.level === 'ok') return finding
    const { code = finding.check, subject } = finding
    const named = { ...finding, code, ...(isOurs(code) && { page: `docs/checks.md#${code}` }) }
    const reason = accepted[`${code}:${subject}`] ?? accepted[code]
    return reason ? { ...named, level: 'ok', accepted: reason } : named
  })
  const codes = new Set<string>([...Object.keys(findings), ...judged.map(({ code = '' }) => code)])
  const problems = Object.entries(accepted).flatMap(([name, reason]) => {
    const [code = ''] = name.split(':', 1)
    if (!codes.has(code)) return [`check.accept has ${name}, and nothing is found by that code`]
    return reason ? [] : [`check.accept has ${name} without a reason, which does not count`]
  })
  return [
    ...judged,
    ...problems.map((message) => ({
      check: 'production',
      ...found('accept-unknown', message),
      page: 'docs/checks.md#accept-unknown',
    })),
  ]
}

function isOurs(code: string): boolean {
  return Object.hasOwn(findings, code)
}
