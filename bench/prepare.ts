import { execFile } from 'node:child_process'
import { copyFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { progress, SetupError } from '../test/servers/ready.ts'
import { productionEnv } from './server.ts'

const run = promisify(execFile)
const ROOT = join(import.meta.dirname, '..')
const BUILT = join(ROOT, 'node_modules/.cache/plinth-bench')

/** How Node.js starts each server, from the repository's root. */
export const commands = {
  plinth: ['bin/manage', 'serve'],
  plain: [join(BUILT, 'main.js')],
  plainTypeScript: ['bench/plain/main.ts'],
  raw: [join(BUILT, 'main.js'), '--raw'],
  bare: ['bench/bare/server.ts'],
  ping: ['bench/bare/ping.ts'],
  tokens: ['bench/tokens/server.ts'],
} as const

/** Compiles the plain application, and the kit as installing it does. */
export async function build(kit: boolean): Promise<void> {
  progress('compiling')
  if (kit) await attempt('The kit', 'npm', ['run', 'build'])
  const tsc = ['node_modules/typescript/bin/tsc', '-p', 'bench/tsconfig.json']
  await attempt('The plain application', process.execPath, tsc)
  writeFileSync(join(BUILT, 'package.json'), '{ "type": "module" }\n')
}

async function attempt(what: string, program: string, args: readonly string[]): Promise<void> {
  try {
    await run(program, args, { cwd: ROOT })
  } catch (error) {
    throw new SetupError(`${what} does not compile:\n${(error as { stdout: string }).stdout}`)
  }
}

/**
 * Makes Atlas' database once.
 *
 * @returns the path of its file
 */
export async function createDatabase(folder: string): Promise<string> {
  progress('filling the database')
  const file = join(folder, 'atlas.db')
  const env = { ...productionEnv(), DATABASE_URL: `sqlite:${file}` }
  for (const command of ['migrate', 'seed']) {
    await run(process.execPath, ['bin/manage', command], { cwd: ROOT, env })
  }
  return file
}

/**
 * Gives a server a fresh copy of the database.
 *
 * @returns its URL
 */
export function copyDatabase(original: string, name: string): string {
  const file = `${original}.${name}`
  for (const suffix of ['-wal', '-shm']) rmSync(`${file}${suffix}`, { force: true })
  copyFileSync(original, file)
  return `sqlite:${file}`
}
