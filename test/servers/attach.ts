import { canInstall, findProgram, install } from './program.ts'
import { progress, SetupError } from './ready.ts'
import type { Sandbox } from './sandbox.ts'

/** Something outside Node.js that tests need: a server or a browser. */
export interface Attached {
  readonly title: string
  /** The variable that tests read. Where it is set already, its value is taken. */
  readonly variable: string
  readonly example: string
  /** Names of programs, the preferred one first; any will do. */
  readonly programs: readonly string[]
  /** Debian's package with one of the programs. */
  readonly package: string
  /** Rejects when the variable's value is of no use. */
  check(value: string): Promise<void>
  /** Starts the program where it has to run, waits until it is ready and returns the variable's value. */
  start(program: string, sandbox: Sandbox): Promise<string>
}

/**
 * Finds, installs or starts each of these.
 *
 * @param mayInstall whether missing programs may be installed on this machine; default: as root on Debian
 * @returns their variables and values
 * @throws SetupError when one of them cannot be had, with what to do
 */
export async function attach(
  all: readonly Attached[],
  sandbox: Sandbox,
  mayInstall: boolean = canInstall(),
): Promise<Record<string, string>> {
  const absent = all.filter((one) => !process.env[one.variable] && !findProgram(one.programs))
  if (absent.length > 0 && mayInstall) {
    const packages = absent.map((one) => one.package)
    await install(packages, sandbox).catch((error: Error) => progress(error.message))
  }
  const missing = absent.filter((one) => !findProgram(one.programs))
  if (missing.length > 0) throw new SetupError(missing.map(advice).join('\n'))
  return Object.fromEntries(await Promise.all(all.map((one) => variableOf(one, sandbox))))
}

const advice = ({ title, programs, package: name, variable, example }: Attached): string =>
  `${title} is missing (no ${programs.join(', ')}): install it (on Debian: apt-get install ${name}), ` +
  `or set ${variable}, for example ${variable}=${example}`

async function variableOf(one: Attached, sandbox: Sandbox): Promise<[string, string]> {
  const given = process.env[one.variable]
  if (given) {
    await check(one, given)
    return [one.variable, given]
  }
  const program = findProgram(one.programs)
  if (!program) throw new SetupError(advice(one))
  return [one.variable, await one.start(program, sandbox)]
}

async function check(one: Attached, value: string): Promise<void> {
  const { title, variable, example } = one
  progress(`using ${variable} for ${title}`)
  try {
    await one.check(value)
  } catch (cause) {
    throw new SetupError(
      `${title} cannot be reached by ${variable} (${reasonOf(cause)}): start it, correct the variable ` +
        `(it should look like ${example}), or unset it for a private one`,
      { cause },
    )
  }
}

/** An attempt on several addresses fails with an error that has a code and no message. */
function reasonOf(error: unknown): unknown {
  return error instanceof Error ? error.message || Reflect.get(error, 'code') : error
}
