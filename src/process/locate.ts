import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { errors } from '../errors.ts'

/** Where a service lives. */
export interface ServiceLocation {
  /** Its folder: `.env`, `migrations/`, `seeds/` and `commands/` are looked for here. */
  root: string
  /** The module whose default export is what `defineService` made. */
  file: string
}

/**
 * Finds the service that a `manage` command is for: the folder that `PLINTH_SERVICE` names, else the
 * package that the script belongs to, else the nearest one above the working folder. The kit's own script
 * belongs to nobody: there the working folder comes first.
 *
 * @param script the real path of the `manage` script
 * @throws {PlinthError} SERVICE_NOT_FOUND; SERVICE_BROKEN where a package.json cannot be read
 */
export function locateService(
  script: string,
  cwd = process.cwd(),
  env: NodeJS.ProcessEnv = process.env,
): ServiceLocation {
  const named = env.PLINTH_SERVICE
  if (named) return inFolder(resolve(cwd, named)) ?? raise(named)
  const folders = [dirname(script), cwd]
  // Installed, or linked from a clone, whose example is not what is meant.
  if (readPackage(join(dirname(script), '..'))?.name === 'plinth') folders.reverse()
  for (const folder of folders) {
    const found = upwards(folder)
    if (found) return found
  }
  return raise(cwd)
}

function raise(start: string): never {
  throw errors.SERVICE_NOT_FOUND(start)
}

function upwards(start: string): ServiceLocation | undefined {
  for (let folder = start; ; folder = dirname(folder)) {
    const found = fromPackage(folder)
    if (found) return found
    if (folder === dirname(folder)) return undefined
  }
}

interface PackageJson {
  name?: string
  plinth?: { service?: string }
  dependencies?: Record<string, string>
}

function fromPackage(folder: string): ServiceLocation | undefined {
  const { plinth, dependencies } = readPackage(folder) ?? {}
  if (plinth?.service) return inFolder(join(folder, plinth.service))
  return dependencies?.plinth ? inFolder(folder) : undefined
}

function readPackage(folder: string): PackageJson | undefined {
  const file = join(folder, 'package.json')
  if (!existsSync(file)) return undefined
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw errors.SERVICE_BROKEN.with({ cause }, file, (cause as Error).message)
  }
}

function inFolder(root: string): ServiceLocation | undefined {
  const file = join(root, 'src/service.ts')
  return existsSync(file) ? { root, file } : undefined
}
