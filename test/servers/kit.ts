import { spawnSync } from 'node:child_process'
import { globSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { progress, SetupError } from './ready.ts'

const SOURCES = ['{src,plugins,commands}/**/*.{ts,html}', 'rolldown.config.ts', 'package.json']
const MODULES = new URL('../../node_modules/', import.meta.url)
const STEPS = [
  ['typescript/bin/tsc', '-p', 'tsconfig.build.json'],
  ['rolldown/bin/cli.mjs', '-c', 'rolldown.config.ts'],
] as const

/**
 * Builds the kit of the working folder, as `npm run build` does, where a source is newer than what there is: what is built starts in a quarter
 * of the time that its sources take, and tests start hundreds of processes.
 *
 * @throws {SetupError}
 */
export function buildKit(): void {
  const timeOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
  const built = timeOf('dist/.tsbuildinfo') && timeOf('dist/commands/_main.js')
  if (globSync(SOURCES).every((path) => timeOf(path) < built)) return
  progress('building the kit')
  for (const [program, ...args] of STEPS) {
    const script = fileURLToPath(new URL(program, MODULES))
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
      encoding: 'utf8',
    })
    if (status !== 0) throw new SetupError(`The kit cannot be built: ${stdout}${stderr}`)
  }
}
