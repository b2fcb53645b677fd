import { once } from 'node:events'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { groupOf, groups } from './groups.ts'
import { attach } from './servers/attach.ts'
import { buildKit } from './servers/kit.ts'
import { unexpected } from './servers/leftovers.ts'
import { mysql } from './servers/mysql.ts'
import { chromium, promtool } from './servers/programs.ts'
import { progress, SetupError } from './servers/ready.ts'
import { redis } from './servers/redis.ts'
import { Sandbox } from './servers/sandbox.ts'

// npm test [-- tap's arguments and files]
// Gets the servers that tests need, runs tap, takes the servers away, ends with tap's exit code.

const GROUPS = '.tap/groups'

const sandbox = new Sandbox()

const codeOf = (signal: NodeJS.Signals): number => 128 + constants.signals[signal]

/** Runs the tests. They fail when they leave something behind, other than what .gitignore names. */
async function run(): Promise<number> {
  const before = unexpected()
  // What covers the sources has to run them.
  const isCovered = process.argv.includes('--no-disable-coverage')
  if (!isCovered) buildKit()
  const variables = await attach([mysql, redis, chromium, promtool], sandbox)
  const unrecorded = new URL('unrecorded.ts', import.meta.url)
  const options = [process.env.NODE_OPTIONS, '--conditions=plinth-source', `--import=${unrecorded}`]
  const tap = sandbox.spawn(process.execPath, tapArguments(), {
    stdio: ['ignore', 'inherit', 'inherit'],
    // Hundreds of processes load the same sources: they are compiled once.
    env: {
      NODE_COMPILE_CACHE: join(sandbox.folder, 'compiled'),
      ...process.env,
      ...variables,
      ...(!isCovered && { PLINTH_TEST_BUILT: '1' }),
      // What several files need is made once, and lies here.
      PLINTH_TEST_SHARED: sandbox.folder,
      NODE_OPTIONS: options.filter(Boolean).join(' '),
    },
  })
  const [code, signal] = await once(tap, 'exit')
  const left = unexpected().filter((path) => !before.includes(path))
  if (left.length > 0) progress(`the tests have left behind ${left.join(', ')}`)
  return (code ?? codeOf(signal)) || Number(left.length > 0)
}

function tapArguments(): string[] {
  const bin = fileURLToPath(new URL('../node_modules/.bin/tap', import.meta.url))
  const reporter = process.stdout.isTTY && !process.env.CI ? ['--reporter=base'] : []
  const given = process.argv.slice(2)
  const areNamed = given.some((one) => one.endsWith('.ts') || existsSync(one))
  return [bin, 'run', ...reporter, ...given, ...(areNamed ? [] : groups().map(writeGroup))]
}

/**
 * Writes what runs a group: tap wants a file for each process, and takes them by their names. In a folder of its own,
 * because it writes its results by their paths from here: of a file elsewhere, they would go elsewhere, too.
 */
function writeGroup(files: readonly string[], index: number): string {
  const name = `${index + 10}-${basename(groupOf(files[0] as string), '.test.ts')}.ts`
  const together = new URL('together.ts', import.meta.url)
  const text = `import { together } from '${together}'\ntogether(${JSON.stringify(files)})\n`
  mkdirSync(GROUPS, { recursive: true })
  writeFileSync(join(GROUPS, name), text)
  return join(GROUPS, name)
}

/** Resolves with the exit code when a signal wants us to end. A second one ends us without waiting. */
function interrupted(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      progress(`stopped by ${signal}`)
      resolve(codeOf(signal))
    })
  }
  return promise
}

function explain(error: unknown): number {
  progress(error instanceof SetupError ? error.message : inspect(error))
  return 1
}

const code = await Promise.race([run(), interrupted()]).catch(explain)
await sandbox.close()
// Killed while it drew, tap has left the cursor hidden.
if (process.stdout.isTTY) process.stdout.write('\x1b[?25h')
process.exit(code)
