import { type ExecFileOptions, execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { kit } from '../../src/process/kit.ts'
import { baseEnv, ENV, nodeOptions } from './manage.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** The script of pnpm, for Node.js. */
export const PNPM = join(ROOT, 'node_modules/pnpm/bin/pnpm.mjs')
const { NODE_OPTIONS: _, ...PLAIN } = baseEnv()
const execute = promisify(execFile)

/** How a project of somebody else is compiled: strictly, the packages' types, too. */
export const CONSUMER_OPTIONS = {
  target: 'es2024',
  lib: ['es2024', 'esnext.disposable'],
  module: 'nodenext',
  types: ['node'],
  strict: true,
  noEmit: true,
  exactOptionalPropertyTypes: true,
  erasableSyntaxOnly: true,
  verbatimModuleSyntax: true,
  allowImportingTsExtensions: true,
  skipLibCheck: false,
}

/** Runs a program without what tap gives to children. */
export function run(program: string, args: readonly string[], options: ExecFileOptions = {}) {
  const plain = { env: PLAIN, maxBuffer: 2 ** 26, ...options, encoding: 'utf8' as const }
  return execute(ENV, [nodeOptions(), program, ...args], plain)
}

const OURS = /^(npm_(?!config_(registry|cafile|.*proxy)$)|NODE_OPTIONS$|NODE_COMPILE_CACHE$|TAP)/i

/** All that reaching the registry takes on this machine, and nothing of the npm and the tap that run this. */
export function npmEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !OURS.test(name)))
}

/** Packs a copy of the repository, which builds it, once for all files of a run of the tests; the path of the tarball, which is in `folder`. */
export async function pack(folder: string): Promise<string> {
  const shared = process.env.PLINTH_TEST_SHARED
  const tarball = join(folder, `plinth-${kit().version}.tgz`)
  if (shared) cpSync(await packOnce(join(shared, 'packed')), tarball)
  else await packInto(folder)
  return tarball
}

/** Whoever makes the folder packs into it; the others wait for what comes of that. */
async function packOnce(folder: string): Promise<string> {
  const isFirst = mkdirSync(folder, { recursive: true }) !== undefined
  const [done, failed] = [join(folder, 'done'), join(folder, 'failed')]
  if (isFirst)
    await packInto(folder).then(
      () => writeFileSync(done, ''),
      (error) => writeFileSync(failed, String(error)),
    )
  while (!existsSync(done)) {
    if (existsSync(failed)) throw new Error(readFileSync(failed, 'utf8'))
    await sleep(100)
  }
  return join(folder, `plinth-${kit().version}.tgz`)
}

async function packInto(folder: string): Promise<void> {
  const copy = join(folder, 'copy')
  const parts =
    'bin src plugins commands docs templates package.json tsconfig.json tsconfig.build.json rolldown.config.ts'
  for (const part of [...parts.split(' '), 'CHANGELOG.md', 'LICENSE', 'README.md']) {
    cpSync(join(ROOT, part), join(copy, part), { recursive: true })
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  if (existsSync(join(ROOT, 'dist/.tsbuildinfo'))) takeBuilt(copy)
  await run('npm', ['pack', '--pack-destination', folder], { cwd: copy })
}

/** Takes along what has been built: the compiler looks which sources have changed, and builds those only. */
function takeBuilt(copy: string): void {
  const [from, to] = [join(ROOT, 'dist'), join(copy, 'dist')]
  cpSync(from, to, { recursive: true, preserveTimestamps: true })
  const info = join(to, '.tsbuildinfo')
  // A link to a folder counts as that folder.
  const modules = relative(to, join(ROOT, 'node_modules'))
  const text = readFileSync(info, 'utf8').replaceAll('"../node_modules/', `"${modules}/`)
  writeFileSync(info, text)
}
