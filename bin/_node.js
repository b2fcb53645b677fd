import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { superviseChild, tie } from './_child.js'

const WANTED = readFileSync(new URL('../package.json', import.meta.url), 'utf8').match(
  /"node": ">=([\d.]+)"/,
)[1]

/** Whether `version` (`20.1.0`) is older than the kit's `engines`. */
export function isTooOld(version) {
  const [major, minor] = version.split('.').map(Number)
  const [wantedMajor, wantedMinor] = WANTED.split('.').map(Number)
  return major < wantedMajor || (major === wantedMajor && minor < wantedMinor)
}

/** Runs `script` with the pinned Node.js and ends as it does. */
export async function handOver(script, args) {
  const node = findPinned(script)
  if (!node) {
    console.error(
      `manage needs Node.js ${WANTED} or newer and was started by ${process.versions.node}; install one, or add it to the project: npm install --save-dev node`,
    )
    process.exit(1)
  }
  const argv = [...process.execArgv, script, ...args]
  process.exit(await superviseChild(node, argv, tie.env, tie.stdio))
}

function findPinned(script) {
  for (const from of [script, join(process.cwd(), 'package.json')]) {
    try {
      const require = createRequire(from)
      const node = join(dirname(require.resolve('node/package.json')), 'bin/node')
      // One as old as this one would hand over for ever; one installed without its script has no program.
      if (!isTooOld(require('node/package.json').version) && existsSync(node)) return node
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') throw error
    }
  }
  return undefined
}
