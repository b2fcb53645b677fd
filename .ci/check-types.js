// Looks whether the types of the package are found, and are those of the code, whichever way TypeScript resolves it: node .ci/check-types.js.
// By the core of arethetypeswrong.github.io alone: its command brings forty packages more. Exit code 1, and a line for each problem.
import { execFileSync } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'

const ROOT = process.argv[2] ?? join(import.meta.dirname, '..')
/** Node.js 10 knew no `exports`. */
const OLD = 'node10'
/** That it is ES modules, which Node.js requires from 22.12 on: the kit needs a newer one. */
const ONLY_ESM = 'CJSResolvesToESM'

const folder = mkdtempSync(join(tmpdir(), 'plinth-types-'))
try {
  // As it was built last.
  const pack = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder]
  const [{ filename }] = JSON.parse(execFileSync('npm', pack, { cwd: ROOT, encoding: 'utf8' }))
  const tarball = createPackageFromTarballData(readFileSync(join(folder, filename)))
  // Those behind a `*` it does not find by itself.
  const plugins = globSync('plugins/*.ts', { cwd: ROOT }).map(
    (path) => `./plugins/${basename(path, '.ts')}`,
  )
  const { entrypoints, problems } = await checkPackage(tarball, { includeEntrypoints: plugins })
  const found = problems.filter(
    ({ kind, resolutionKind }) => resolutionKind !== OLD && kind !== ONLY_ESM,
  )
  for (const problem of found) console.error(JSON.stringify(problem))
  console.log(`${Object.keys(entrypoints).length} entry points, ${found.length} problems`)
  process.exitCode = found.length === 0 ? 0 : 1
} finally {
  rmSync(folder, { recursive: true })
}
