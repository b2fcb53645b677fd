import { fileURLToPath } from 'node:url'
import { errors, PlinthError } from '../src/errors.ts'
import { kit } from '../src/process/kit.ts'
import type { OclifError } from './_describe.ts'
import { findCommands } from './_find-commands.ts'
import { printHelp } from './_help.ts'
import { selected } from './_selected.ts'
import { topics } from './_table.ts'

const ROOT = fileURLToPath(new URL('.', import.meta.url))
const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js'

/**
 * Runs `manage`: finds the command that the words name and hands it to oclif, which has loaded nothing
 * else. The list of commands needs no oclif at all.
 *
 * @param script the real path of the script that was started
 */
export async function main(script: string, argv: readonly string[]): Promise<void> {
  try {
    await dispatch(script, argv)
  } catch (error) {
    const { describeError, errorJson } = await import('./_describe.ts')
    const isUsage = PlinthError.is(error) && error.code === errors.USAGE_INVALID.code
    if (asksJson(argv)) console.log(JSON.stringify(errorJson(error), null, 2))
    else console.error(isUsage ? error.message : describeError(error))
    process.exitCode = isUsage ? 2 : 1
  }
}

/** Whether `--json` is among the flags, also of a command that has none of that name. */
function asksJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--')
  return (end < 0 ? argv : argv.slice(0, end)).includes('--json')
}

async function dispatch(script: string, argv: readonly string[]): Promise<void> {
  const { version } = kit()
  if (argv[0] === '--version') {
    console.log(`plinth ${version} (Node.js ${process.version})`)
    return
  }
  const [word = '--help', ...rest] = argv
  // manage help [COMMAND]
  const words = word === 'help' ? [...rest, '--help'] : [word, ...rest]
  if (['--help', '-h'].includes(words[0] as string)) {
    await printHelp(script)
    return
  }
  // As production starts it: what oclif takes of the memory, a server would keep for as long as it runs.
  if (word === 'serve' && argv.length === 1) {
    const { serve } = await import('./_serve.ts')
    await serve(script)
    return
  }
  if (words.join(' ') === 'migrate status') {
    const { listMigrations } = await import('./_status.ts')
    await listMigrations(script)
    return
  }
  Object.assign(selected, await findCommands(script, words))
  await runWithOclif(script, version, words)
}

async function runWithOclif(script: string, version: string, argv: readonly string[]) {
  const { LONGEST_TIMER } = await import('../src/deadlines.ts')
  const { settings } = await import('@oclif/core/settings')
  settings.enableAutoTranspile = false
  // A flag that reads stdin waits for it, instead of 10 ms.
  process.env.OCLIF_STDIN_TIMEOUT_MS ??= String(LONGEST_TIMER)
  const { run } = await import('@oclif/core/run')
  const oclif = {
    bin: 'manage',
    topicSeparator: ' ',
    additionalHelpFlags: ['-h'],
    commands: { strategy: 'explicit', target: `./_selected.${EXTENSION}`, identifier: 'selected' },
    topics,
  } as const
  const pjson = { name: 'plinth', version, type: 'module', oclif, plinth: { script } }
  try {
    // Not `execute`: it waits until stdout is read, for ever where the reader has gone (`| head`).
    await run([...argv], { root: ROOT, pjson } as never)
  } catch (error) {
    const { message, code, oclif: told } = error as OclifError
    if (told?.exit === 2 && code !== 'EEXIT' && asksJson(argv)) throw errors.USAGE_INVALID(message)
    const { handle } = await import('@oclif/core/handle')
    await handle(error as Error)
  }
}
