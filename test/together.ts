import { registerHooks } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import tap, { type Test } from 'tap'
import { aliveBy } from './helpers/alive-by.ts'

// Several test files in one process, one after another: most of what a small one takes is loading tap and the kit.

/** Milliseconds that each file has, as where it runs alone: none takes more. */
const TIMEOUT = Number(process.env.TAP_TIMEOUT ?? 30) * 1000
/** Milliseconds that their process has to end when they have ended. */
const PATIENCE = Math.min(TIMEOUT / 4, 60_000)
const ROOT = process.cwd()

/** Runs test files, each as a test by its path, which is what it gets by `import t from 'tap'`. */
export function together(files: readonly string[]): void {
  const tests = files.map((file) =>
    tap.test(file, { timeout: TIMEOUT, at: null }, (t) => load(t, file)),
  )
  void Promise.allSettled(tests).then(() => setTimeout(failToEnd, PATIENCE).unref())
}

/** A test, or what it tests, has left something behind: alone, tap would wait until it ends the process, and not say what. */
async function failToEnd(): Promise<void> {
  const keptAliveBy = await aliveBy()
  tap.fail('the files have ended, and their process has not', { keptAliveBy, at: null })
  tap.end()
  process.exit()
}

async function load(t: Test, file: string): Promise<void> {
  // As where it runs alone.
  process.chdir(ROOT)
  // Later than the file is: else nobody would hear what hangs there.
  tap.setTimeout(TIMEOUT + 2 * PATIENCE)
  t.testdirName = resolve('.tap/fixtures', file.replaceAll('/', '-'))
  replaceTap(t, file)
  await import(pathToFileURL(resolve(file)).href)
}

/** What together-tap.ts gives to the file that is being loaded. */
export let takeTest: () => Test

function replaceTap(t: Test, file: string): void {
  const own = `${new URL('together-tap.ts', import.meta.url)}?${encodeURIComponent(file)}`
  const hooks = registerHooks({
    resolve: (specifier, context, next) => next(specifier === 'tap' ? own : specifier, context),
  })
  takeTest = () => {
    // Everything that the file imports has been found, and none of its tests has begun.
    hooks.deregister()
    return t
  }
}
